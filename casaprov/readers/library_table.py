"""Tables of both libraries, as far as they are read alike: in pieces, by the methods that each library offers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from casaprov.errors import DigestError
from casaprov.files.regular import tables_opened_with
from casaprov.formats.tables import Block, Column, Runs, Storage
from casaprov.readers.blocks import Cells, Shape, blocks, common_shape, runs, storage_of, stretch

__all__ = ["LibraryTable"]

_MANY_ROWS = 1_000_000
_BITS = 8


class LibraryTable(Cells):
    """The part of a :class:`casaprov.formats.tables.Table` that stands on :class:`casaprov.readers.blocks.Cells`.

    Parameters
    ----------
    handle
        The library's open table.
    """

    def __init__(self, path: Path, handle: Any) -> None:
        self.path = path
        self._handle: Any = handle
        info = handle.info()
        self.type: str = info["type"]
        self.subtype: str = info["subType"]
        self.rows = int(handle.nrows())
        if self.rows > _MANY_ROWS:
            _refuse_a_claim(path, self.rows)
        self.keywords: Mapping[str, Any] = self._record(handle.getkeywords())
        self.columns: Mapping[str, Column] = {name: self._column(name) for name in handle.colnames()}

    def blocks(self, column: str, *, max_bytes: int) -> Iterator[Block]:
        """Read a column in blocks of at most `max_bytes`."""
        with self._reading(column):
            yield from blocks(self, self.columns[column], self.rows, max_bytes=max_bytes)

    def runs(self, column: str) -> Runs:
        """Return the maximal runs of equal shapes of the cells of a column."""
        with self._reading(column):
            return runs(self, self.columns[column], self.rows)

    def stretch(
        self, column: str, runs: Runs, first_row: int, first: int, count: int, *, max_bytes: int
    ) -> Iterator[np.ndarray[Any, Any]]:
        """Read a part of a column of numbers."""
        with self._reading(column):
            yield from stretch(self, self.columns[column], runs, first_row, first, count, max_bytes=max_bytes)

    def storage(self) -> Mapping[str, Storage]:
        """Return the storage manager by column."""
        return storage_of(self._managers, self.columns)

    def manager(self, column: str) -> str:
        """Return the type of the storage manager that holds a column."""
        held = self._manager_of.get(column)
        return str(held["TYPE"]) if held else ""

    def common_shape(self, column: str) -> Shape | None:
        """Return the shape of all cells of a column, if its storage manager says it."""
        held = self._manager_of.get(column)
        return common_shape(held, self.rows) if held else None

    @cached_property
    def _managers(self) -> Mapping[str, Mapping[str, Any]]:
        """Descriptions of the storage managers, from the library."""
        managers: Mapping[str, Mapping[str, Any]] = self._handle.getdminfo()
        return managers

    @cached_property
    def _manager_of(self) -> Mapping[str, Mapping[str, Any]]:
        """The storage manager of each column."""
        return {column: manager for manager in self._managers.values() for column in manager["COLUMNS"]}

    def record(self, column: str, row: int) -> Mapping[str, Any]:
        """Return a cell of a column of records."""
        return self._record(self._handle.getcell(column, row))

    @abstractmethod
    def _reading(self, column: str) -> AbstractContextManager[None]:
        """Turn the library's errors into ours, with the name of the column."""

    @abstractmethod
    def _column(self, name: str) -> Column:
        """Describe a column."""

    @staticmethod
    @abstractmethod
    def _record(record: Mapping[str, Any]) -> dict[str, Any]:
        """Turn keywords into the form of :class:`casaprov.formats.tables.Table`."""


def _refuse_a_claim(path: Path, rows: int) -> None:
    """Refuse a table that claims more rows than its files have bits: it would be read for hours, and hold nothing.

    The smallest value of one row, a truth value, takes a bit. Only IncrementalStMan stores less, if rows that follow each
    other have the same value in all columns.
    """
    files = (file for folder in tables_opened_with(path) for file in folder.rglob("*") if file.is_file())
    size = sum(file.stat().st_size for file in files)
    if rows > _BITS * size:
        raise DigestError(
            f"{path} claims to have {rows} rows, but its files have only {size} bytes.",
            hint="It is damaged, or made to mislead; ask its author for another copy.",
        )
