"""The reader that uses python-casacore: fast, and each value in its stored type.

python-casacore and casatools carry separate copies of casacore with separate
table caches and locks. This module never loads casatools, and must not be
loaded into a process that has.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast

import numpy as np
from casacore.tables import table as open_table
from casacore.tables import taql

from casaprov.errors import DigestError
from casaprov.files.regular import refuse_special
from casaprov.formats.storage_managers import refuse_evaluating
from casaprov.formats.tables import Column, Runs
from casaprov.readers.blocks import CASA_TYPES, Shape, dtype_of, equal_runs
from casaprov.readers.library_table import LibraryTable

__all__ = ["CasacoreReader", "CasacoreTable"]

_FIXED_SHAPE = 4
"""Bit of a column's ``option``: all cells have the shape that the column declares."""

_CACHE_MIB = 64  # limit of casacore's cache of tiles, for each column

_FEW = 100  # cells of which each is asked for by itself whether it is defined
_PLAIN_NAME = re.compile(r"[A-Za-z]\w*", re.ASCII)

_READ_INTO = ("bool", "int32", "float32", "float64", "complex64", "complex128")
"""Types that python-casacore can read into an array that is there."""


class CasacoreReader:
    """The :class:`casaprov.formats.tables.TableReader` that uses python-casacore."""

    name = "python-casacore"

    def open(self, path: Path) -> CasacoreTable:
        """Open a table read-only and without locks."""
        refuse_special(path)
        refuse_evaluating(path)
        try:
            # 'usernoread': this process asks for no lock even to read, so that a
            # task writing the table elsewhere never waits for a digest.
            handle = open_table(str(path.resolve()), readonly=True, lockoptions="usernoread", ack=False)
        except (RuntimeError, ValueError) as error:
            raise DigestError(f"{path} cannot be opened as a table: {error}") from error
        try:
            return CasacoreTable(path, handle)
        except (RuntimeError, UnicodeDecodeError) as error:
            handle.close()
            raise DigestError(f"The description of table {path} cannot be read: {error}") from error


class CasacoreTable(LibraryTable):
    """The :class:`casaprov.formats.tables.Table` of :class:`CasacoreReader`."""

    def __init__(self, path: Path, handle: Any) -> None:
        self._limited: set[str] = set()
        super().__init__(path, handle)

    @contextmanager
    def _reading(self, column: str) -> Iterator[None]:
        if column not in self._limited:
            # Without a limit, casacore caches a tiled image over the whole depth of its tiles: all of it, at worst.
            with suppress(RuntimeError):
                self._handle.setdmprop(column, {"MaxCacheSize": _CACHE_MIB}, bycolumn=True)
            self._limited.add(column)
        try:
            yield
        except (RuntimeError, UnicodeDecodeError) as error:
            raise DigestError(f"Column {column} of {self.path} cannot be read: {error}") from error

    def close(self) -> None:
        """Close the table; closing twice does nothing."""
        if self._handle is not None:
            self._handle.close()
            self._handle = None

    def defined(self, column: str, first: int, count: int) -> Sequence[bool]:
        """Tell which of `count` cells hold a value."""
        if count > _FEW and _PLAIN_NAME.fullmatch(column):
            # A thousand times faster than to ask for each. A plain name cannot be taken for an expression.
            defined = taql(f"calc from $1 calc isdefined({column})", tables=[self._handle])
            return cast("list[bool]", defined[first : first + count].tolist())
        return [bool(self._handle.iscelldefined(column, row)) for row in range(first, first + count)]

    def shapes(self, column: str, first: int, count: int) -> Runs | None:
        """Return runs of equal shapes of `count` cells; None if one of them is undefined."""
        try:
            return equal_runs(self._handle.getcolshapestring(column, first, count), order=-1)
        except RuntimeError:
            return None

    def values(
        self, column: Column, first: int, count: int, shape: Shape, out: np.ndarray[Any, Any] | None = None
    ) -> np.ndarray[Any, Any]:
        """Return `count` cells of one shape in storage order."""
        if column.type == "string":
            return _strings(self._handle.getcol(column.name, first, count)).reshape(count, *reversed(shape))
        if column.type not in _READ_INTO:
            return np.ascontiguousarray(self._handle.getcol(column.name, first, count), dtype_of(column))
        # getcol() makes a new array each time: getting the memory for it costs several times the reading.
        if out is None:
            out = np.empty((count, *reversed(shape)), dtype_of(column))
        self._handle.getcolnp(column.name, out, first, count)
        return out

    def cell(self, column: Column, row: int) -> np.ndarray[Any, Any]:
        """Return a cell in storage order, an array without axes for a scalar."""
        if column.ndim == 0:
            # In steps of two a single row is never the whole column; getcell() would widen the value, and make a
            # signalling NaN a quiet one.
            return np.array(self._handle.getcol(column.name, row, 1, 2), dtype_of(column)).reshape(())
        return np.asarray(self._handle.getcell(column.name, row), dtype_of(column), order="C")

    def part(self, column: Column, row: int, start: Shape, stop: Shape) -> np.ndarray[Any, Any]:
        """Return a part of a cell in storage order."""
        last = [n - 1 for n in stop]
        values = self._handle.getcellslice(column.name, row, list(start[::-1]), last[::-1])
        return np.ascontiguousarray(values, dtype_of(column))

    @staticmethod
    def _record(record: Mapping[str, Any]) -> dict[str, Any]:
        return _record(record)

    def _column(self, name: str) -> Column:
        description = self._handle.getcoldesc(name)
        if description["valueType"] not in CASA_TYPES:
            raise DigestError(f"Column {name} of {self.path} has the unknown type {description['valueType']}.")
        shape = None
        if description["option"] & _FIXED_SHAPE and "shape" in description:
            shape = tuple(int(n) for n in description["shape"])[::-1]
        return Column(
            name=name,
            type=CASA_TYPES[description["valueType"]],
            ndim=int(description.get("ndim", 0)),
            shape=shape,
            keywords=_record(description["keywords"]),
        )


def _record(record: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _plain(value) for name, value in record.items()}


def _plain(value: Any) -> Any:
    """Turn a keyword value into the form of :class:`casaprov.formats.tables.Table`."""
    if isinstance(value, str) and value.startswith("Table: "):
        return Path(value.removeprefix("Table: "))
    if isinstance(value, Mapping):
        # This is how python-casacore gives an array of strings with more than one axis.
        return _strings(value) if set(value) == {"shape", "array"} else _record(value)
    return _strings(value) if isinstance(value, list) else value


def _strings(values: list[str] | Mapping[str, Any]) -> np.ndarray[Any, Any]:
    if isinstance(values, Mapping):
        return np.array(values["array"], dtype=object).reshape([int(n) for n in values["shape"]])
    return np.array(values, dtype=object)
