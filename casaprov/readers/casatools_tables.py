"""The reader that uses casatools, where python-casacore is missing: the same values, slower.

casatools widens the numbers that it reads (float32 to float64, complex64 to
complex128, all integers to 64 bits) and gives strings inside arrays as one
character per byte. Both are undone here. It returns wrong numbers for arrays of int16
(CASA 6.7.0 and 6.7.5) and none for arrays of int64: these are refused.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from casaprov.errors import DigestError
from casaprov.files.regular import refuse_special
from casaprov.formats.storage_managers import refuse_evaluating
from casaprov.formats.tables import Column, Runs
from casaprov.readers.blocks import CASA_TYPES, Shape, dtype_of, equal_runs
from casaprov.readers.library_table import LibraryTable


def _import_casatools() -> Any:
    if "casatools" not in sys.modules:
        # A process that only reads needs neither a log file in the working
        # folder nor fresh Earth orientation data.
        from casaconfig import config

        config.logfile = os.devnull
        config.log2term = False
        config.data_auto_update = False
        config.measures_auto_update = False
    import casatools

    return casatools


_casatools = _import_casatools()

__all__ = ["CasatoolsReader", "CasatoolsTable"]

_FIXED_SHAPE = 4
_INSTALL = "Install python-casacore: pip install python-casacore."
_ONLY_CELLWISE = ("int16", "int64")


class CasatoolsReader:
    """The :class:`casaprov.formats.tables.TableReader` that uses casatools."""

    name = "casatools"

    def open(self, path: Path) -> CasatoolsTable:
        """Open a table read-only and without locks."""
        refuse_special(path)
        refuse_evaluating(path)
        handle = _casatools.table()
        try:
            handle.open(str(path.resolve()), nomodify=True, lockoptions={"option": "usernoread"})
        except RuntimeError as error:
            handle.done()
            raise DigestError(f"{path} cannot be opened as a table: {error}") from error
        try:
            return CasatoolsTable(path, handle)
        except (RuntimeError, UnicodeDecodeError) as error:
            handle.done()
            raise DigestError(f"casatools cannot read the description of {path}: {error}", hint=_INSTALL) from error


class CasatoolsTable(LibraryTable):
    """The :class:`casaprov.formats.tables.Table` of :class:`CasatoolsReader`."""

    @contextmanager
    def _reading(self, column: str) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            raise DigestError(f"Column {column} of {self.path} cannot be read: {error}") from error

    def close(self) -> None:
        """Close the table; closing twice does nothing."""
        if self._handle is not None:
            self._handle.done()
            self._handle = None

    def defined(self, column: str, first: int, count: int) -> Sequence[bool]:
        """Tell which of `count` cells hold a value."""
        return [bool(self._handle.iscelldefined(column, row)) for row in range(first, first + count)]

    def shapes(self, column: str, first: int, count: int) -> Runs | None:
        """Return runs of equal shapes of `count` cells; None if one of them is undefined."""
        # Asking for the shape of an undefined cell writes an error to the CASA log.
        if not all(self._handle.iscelldefined(column, row) for row in (first, first + count - 1)):
            return None
        try:
            texts = self._handle.getcolshapestring(column, first, count)
        except RuntimeError:
            return None
        found = equal_runs(list(texts), order=1)
        return [(count, found[0][1])] if len(texts) == 1 else found

    def values(
        self, column: Column, first: int, count: int, shape: Shape, out: np.ndarray[Any, Any] | None = None
    ) -> np.ndarray[Any, Any]:
        """Return `count` cells of one shape in storage order."""
        if column.type in _ONLY_CELLWISE:
            self._refuse_arrays(column)
            cells = [self._handle.getcell(column.name, row) for row in range(first, first + count)]
            return np.array(cells, dtype_of(column))
        return self._stored(column, self._handle.getcol(column.name, first, count))

    def cell(self, column: Column, row: int) -> np.ndarray[Any, Any]:
        """Return a cell in storage order, an array without axes for a scalar."""
        if column.ndim == 0 and column.type not in _ONLY_CELLWISE:
            # In steps of two a single row is never the whole column; getcell() gives strings in another way.
            return self._stored(column, self._handle.getcol(column.name, row, 1, 2)).reshape(())
        self._refuse_arrays(column)
        return self._stored(column, self._handle.getcell(column.name, row))

    def part(self, column: Column, row: int, start: Shape, stop: Shape) -> np.ndarray[Any, Any]:
        """Return a part of a cell in storage order."""
        self._refuse_arrays(column)
        last = [n - 1 for n in stop]
        values = self._handle.getcellslice(column.name, row, list(start), last, [1] * len(start))
        return self._stored(column, values)

    def _stored(self, column: Column, given: Any) -> np.ndarray[Any, Any]:
        """Turn values as casatools gives them into those that are stored, in storage order."""
        values = np.asarray(given).T
        if column.type == "string":
            return _strings(values)
        stored = np.asarray(values, dtype_of(column), order="C")
        if column.type in ("float32", "complex64") and _quieted(stored):
            raise DigestError(
                f"casatools cannot read the NaNs in column {column.name} of {self.path}: it loses one of their bits.",
                hint=_INSTALL,
            )
        return stored

    def _refuse_arrays(self, column: Column) -> None:
        if column.type in _ONLY_CELLWISE and column.ndim != 0:
            raise DigestError(
                f"casatools cannot read the {column.type} arrays in column {column.name} of {self.path}.",
                hint=_INSTALL,
            )

    @staticmethod
    def _record(record: Mapping[str, Any]) -> dict[str, Any]:
        return _record(record)

    def _column(self, name: str) -> Column:
        description = self._handle.getcoldesc(name)
        if description["valueType"] not in CASA_TYPES:
            raise DigestError(f"Column {name} of {self.path} has the unknown type {description['valueType']}.")
        shape = None
        if int(description["option"]) & _FIXED_SHAPE and "shape" in description:
            shape = tuple(int(n) for n in description["shape"])
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
        return _record(value)
    if isinstance(value, np.ndarray):
        return _strings(value.T) if value.dtype.kind == "U" else value.T
    return value


def _quieted(stored: np.ndarray[Any, Any]) -> bool:
    """Return True if there are NaNs in single precision that may have been signalling before they were widened."""
    bits = stored.view(np.uint32) if stored.ndim else stored.reshape(1).view(np.uint32)
    # The NaN that CASA writes has only the bit of a quiet NaN in its fraction: without it, it would be an infinity.
    return bool((np.isnan(bits.view(np.float32)) & ((bits & 0x3FFFFF) != 0)).any())


def _strings(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Put the bytes of each string together again: casatools gives one character per byte."""
    flat = np.empty(values.size, dtype=object)
    flat[:] = [_utf8(str(text)) for text in values.ravel()]
    return flat.reshape(values.shape)


def _utf8(text: str) -> str:
    return text if text.isascii() else text.encode("latin-1").decode("utf-8")
