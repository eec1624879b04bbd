"""Virtual models, which CASA writes into a table instead of a column MODEL_DATA.

``setjy`` and ``ft`` without a scratch column and ``tclean(savemodel="virtual")``
leave a record of how the model is computed, in SOURCE_MODEL of the SOURCE
table or, where there is none, in the keywords of the main table; and an image,
in the folder of that table, whose name has the number of a process in it. The
record and the image are content. The name is not, nor are the members beside it
that CASA leaves uninitialised or takes from the computer's memory (6.7.0, 6.7.5).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from casaprov.formats.keywords import encode
from casaprov.formats.tables import Table
from casaprov.hashing import BlockHasher

__all__ = ["encode_model", "model_images", "names_image", "without_noise"]

_NAME = "diskimage"
_SUB_MACHINE = "subftm"

_NOISE = {_NAME, "nantenna", "cachesize"}
"""Left out of a record that names an image."""

_OF_TERMS = {"name", "nterms", "reffreq", "subftm", "subftname", "thisterm"}
"""Members that count of a record whose ``subftm`` names an image: the record computes a term, and CASA never sets the rest."""

_READ_BYTES = 2 * 2**20

# Tag and widest type by kind of number: the width in which an array is stored does not count.
_WIDEST = {
    "b": ("bool", "u1"),
    "i": ("int", "<i8"),
    "u": ("int", "<i8"),
    "f": ("float", "<f8"),
    "c": ("complex", "<c16"),
}


def model_images(table: Table) -> Iterator[tuple[str, Path]]:
    """Yield the images that the virtual models of a table name, each with the place of that name.

    A place is ``SOURCE_MODEL/0/ft_0/container/diskimage``: column, row, and names in the record.
    """
    for place, name in _named(table.keywords, ""):
        yield place, _image(table, name)
    for column in table.columns.values():
        if column.type == "record":
            for block in table.blocks(column.name, max_bytes=_READ_BYTES):
                records = () if block.values is None else block.values.ravel()
                for row, record in enumerate(records, block.first_row):
                    for place, name in _named(record, f"{column.name}/{row}/"):
                        yield place, _image(table, name)


def names_image(record: Mapping[str, Any]) -> bool:
    """Return True if a record holds a virtual model with an image, however deep."""
    return any(_named(record, ""))


def without_noise(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record with virtual models without the members that are no content; the images count by themselves."""
    # CASA calls a record that computes a model a machine; one for a Taylor term holds another that names the image.
    sub_machine = record.get(_SUB_MACHINE)
    if isinstance(sub_machine, Mapping) and _is_name(sub_machine.get(_NAME)):
        names = record.keys() & _OF_TERMS
    else:
        names = record.keys() - (_NOISE if _is_name(record.get(_NAME)) else set())
    return {
        name: without_noise(value) if isinstance(value, Mapping) else value
        for name, value in record.items()
        if name in names
    }


def encode_model(record: Mapping[str, Any]) -> list[Any]:
    """Encode a record with virtual models like :func:`casaprov.formats.keywords.encode`, but arrays of numbers by their digest.

    The record of a mosaic holds its convolution functions, a hundred megabytes of them.
    """
    return encode(without_noise(record), _digested)


def _digested(values: np.ndarray[Any, Any]) -> list[Any]:
    tag, dtype = _WIDEST[values.dtype.kind]
    wide = np.ascontiguousarray(values, dtype)
    if tag in ("float", "complex"):
        numbers = wide.reshape(-1).view("<f8")
        wide = np.where(np.isnan(numbers), np.nan, numbers)  # one NaN stands for all, as in other keywords
    hasher = BlockHasher()
    hasher.update(wide.reshape(-1).view(np.uint8).data)
    return ["array", tag, [*reversed(values.shape)], hasher.digest()]


def _named(record: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for name, value in record.items():
        if isinstance(value, Mapping):
            yield from _named(value, f"{prefix}{name}/")
        elif name == _NAME and _is_name(value):
            yield f"{prefix}{name}", value


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _image(table: Table, name: str) -> Path:
    """Return the place of an image that was written for a table, which may have been moved since."""
    return table.path / Path(name.partition("\0")[0]).name
