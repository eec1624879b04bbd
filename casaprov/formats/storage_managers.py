"""Storage managers of a table, read from its description before a library opens the table.

casacore creates the storage managers that ``table.dat`` names while it opens a table. ``VirtualTaQLColumn`` then
evaluates an expression, which can make, change and remove tables anywhere. ``ForwardColumnEngine`` opens another
table. A name that casacore does not know is that of a library, which is loaded. Tables with such columns are refused
by name; casacore opens none of them.

The layout of ``table.dat`` is that of casacore's classes AipsIO, Table and ColumnSet: objects begin with their length,
text with its own. All numbers are big-endian.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from pathlib import Path

from casaprov.errors import DigestError
from casaprov.files.regular import open_regular, tables_opened_with

__all__ = ["manager_problem", "refuse_evaluating", "storage_managers"]

_KNOWN = frozenset({
    "StManAipsIO", "StandardStMan", "IncrementalStMan", "TiledDataStMan", "TiledCellStMan", "TiledColumnStMan",
    "TiledShapeStMan", "MemoryStMan", "CompressFloat", "CompressComplex", "CompressComplexSD",
})  # fmt: skip
"""Storage managers of casacore that only store values."""

_KNOWN_LIBRARIES = frozenset({"AsdmStMan", "DyscoStMan", "LofarStMan"})
"""Storage managers of CASA and of other packages of radio astronomy, which only store values as well."""

_KNOWN_TEMPLATES = (
    "BitFlagsEngine<",
    "MappedArrayEngine<",
    "RetypedArrayEngine<",
    "ScaledArrayEngine<",
    "ScaledComplexData<",
)
"""Beginnings of the names of casacore's engines that compute a column from another one of the same table."""

_EVALUATING = {
    "VirtualTaQLColumn": "evaluates an expression when the table is opened",
    "ForwardColumnEngine": "reads from another table",
}
_WITHOUT_ROWS = ("RefTable", "ConcatTable")
_MAGIC = 0xBEBEBEBE
_MOST_BYTES = 64 * 2**20  # the largest descriptions have some megabytes
_MOST_MANAGERS = 10_000
_MOST_TEXT = 4096


def refuse_evaluating(table: Path) -> None:
    """Refuse a table that runs code when it is opened, or that refers to one.

    Raises
    ------
    DigestError
        If there is such a storage manager; the message names it and its table.
    """
    for path in tables_opened_with(table):
        if problem := manager_problem(path):
            raise DigestError(
                f"{path} is not opened: {problem}.",
                hint="Ask its author for a copy without that column; a copy by CASA ('tb.copy', valuecopy=True) has none.",
            )


def manager_problem(table: Path) -> str:
    """Say which storage manager of a table is not only one; empty if all only store values."""
    try:
        names = storage_managers(table)
    except OSError:
        return ""  # who opens it says why that is not possible
    except ValueError:
        return "its description is damaged, or has a form that casaprov does not know"
    for name in names:
        if name in _EVALUATING:
            return f"its storage manager {name} {_EVALUATING[name]}"
        if name not in _KNOWN | _KNOWN_LIBRARIES and not (name.startswith(_KNOWN_TEMPLATES) and "/" not in name):
            return f"its storage manager {name[:80]!r} would be loaded from a library of that name"
    return ""


def storage_managers(table: Path) -> tuple[str, ...]:
    """Return the names of the storage managers that casacore creates to open a table; none for one without rows of its own.

    Raises
    ------
    OSError, DigestError
        If the description cannot be read.
    ValueError
        If it has another form than casacore gives it.
    """
    with open_regular(table / "table.dat") as stream:
        reader = _Description(stream.read(_MOST_BYTES))
    return tuple(reader.managers())


class _Description:
    """The bytes of a ``table.dat``, read from the front."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def managers(self) -> Iterator[str]:
        if not self._is_table():
            return  # casacore opens none of it
        version = self._number()
        self._skip(8 if version > 2 else 4)  # number of rows
        self._skip(4)  # order of the bytes
        kind = self._text()
        if kind in _WITHOUT_ROWS:
            return
        if kind != "PlainTable":
            raise ValueError("an unknown kind of table")
        self._skip(self._number() - 4)  # the description of the columns; its length counts itself
        version = -self._signed()  # in the first version the number of rows stood here
        if version > 2:
            self._skip(8 + 4 + 4)  # number of rows, kind of the storage, size of its blocks
        elif version == 2:
            self._skip(4)  # number of rows
        self._skip(4)  # the next sequence number
        count = self._number()
        if count > _MOST_MANAGERS:
            raise ValueError("too many storage managers")
        for _ in range(count):
            yield self._text()
            self._skip(4)  # sequence number

    def _is_table(self) -> bool:
        try:
            magic, _ = self._number(), self._number()  # and the length
            return magic == _MAGIC and self._text() == "Table"
        except ValueError:
            return False

    def _number(self) -> int:
        (value,) = struct.unpack(">I", self._bytes(4))
        return int(value)

    def _signed(self) -> int:
        (value,) = struct.unpack(">i", self._bytes(4))
        return int(value)

    def _text(self) -> str:
        size = self._number()
        if size > _MOST_TEXT:
            raise ValueError("a text is too long")
        return self._bytes(size).decode("latin-1")

    def _skip(self, size: int) -> None:
        if size < 0:
            raise ValueError("an object ends before it begins")
        self._data.seek(size, io.SEEK_CUR)

    def _bytes(self, size: int) -> bytes:
        found = self._data.read(size)
        if len(found) != size:
            raise ValueError("the description ends early")
        return found
