"""Keywords in digests: the choice of those that are content, and the form of each value.

Keyword records carry science (coordinate systems, units, beams, polarisation
bases) beside traces of the run that wrote them (free memory, absolute paths,
the CASA version). The first belong to the content, the second do not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from casaprov.errors import DigestError

__all__ = ["MEASURED_BY_TCLEAN", "decode", "encode", "science_keywords", "sub_tables"]

_HISTORIES = ("HISTORY", "logtable")
MEASURED_BY_TCLEAN = ("memavail", "memreq", "chnchnks", "mpiprocs")
"""Notes about the computer in the miscinfo of tclean's images; exportfits makes FITS cards of them."""


def science_keywords(keywords: Mapping[str, Any], table_type: str = "") -> dict[str, Any]:
    """Return the keywords of a table that are part of its content.

    Left out: the references to HISTORY and logtable; ``CASA_Version`` of
    calibration tables; tclean's notes about the computer in the ``miscinfo``
    of images.
    """
    kept = {k: v for k, v in keywords.items() if not (k in _HISTORIES and isinstance(v, Path))}
    if table_type == "Calibration":
        kept.pop("CASA_Version", None)
        name = kept.get("MSName")
        if isinstance(name, str):
            kept["MSName"] = name.rstrip("/").rpartition("/")[2]
    miscinfo = kept.get("miscinfo")
    if table_type == "Image" and isinstance(miscinfo, Mapping):
        kept["miscinfo"] = {k: v for k, v in miscinfo.items() if k not in MEASURED_BY_TCLEAN}
    return kept


def sub_tables(keywords: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Path]]:
    """Yield (name, path) of the tables that keywords refer to; nested names are joined by ``/``."""
    for name, value in keywords.items():
        if isinstance(value, Path):
            yield prefix + name, value
        elif isinstance(value, Mapping):
            yield from sub_tables(value, f"{prefix}{name}/")


def encode(value: Any, array: Callable[[np.ndarray[Any, Any]], list[Any]] | None = None) -> list[Any]:
    """Encode a keyword value as type-tagged JSON.

    ``1``, ``1.0``, ``True`` and ``"1"`` differ; the widths in which numbers
    are stored do not. Empty arrays have neither type nor shape, since the
    libraries that read them do not agree on either. An absolute path, alone
    or in a list, is reduced to its name.

    Parameters
    ----------
    array
        Encodes arrays of numbers that are not empty; by default they are written out.

    Raises
    ------
    DigestError
        If `value` is of a type that tables cannot hold.
    """
    if isinstance(value, np.ndarray):
        return array(value) if array is not None and value.size and value.dtype.kind in "biufc" else _array(value)
    if isinstance(value, Mapping):
        return ["record", {name: encode(member, array) for name, member in value.items()}]
    if isinstance(value, Path):
        return ["table", value.name]
    if isinstance(value, list | tuple):
        # As objects, strings keep the NULs at their end, which numpy's own type of strings drops.
        return _array(np.array(value, dtype=object if value and isinstance(value[0], str) else None))
    if value is None:
        return ["undefined"]
    return [*_scalar(value)]


def decode(encoded: Any) -> Any:
    """Return a value with this encoding; widths of numbers and the folders of paths are lost.

    Raises
    ------
    DigestError
        If it is no encoding.
    """
    try:
        return _decoded(encoded)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError) as error:
        raise DigestError("A keyword has a form that casaprov does not write.") from error


def _decoded(encoded: Any) -> Any:
    match encoded:
        case ["record", dict(record)]:
            return {str(name): _decoded(member) for name, member in record.items()}
        case ["array", str(tag), [*shape], [*members]]:
            values = [_decoded([tag, member]) for member in members]
            return np.array(values, dtype=object if tag == "str" else None).reshape(shape[::-1])
        case ["empty"]:
            return np.array([])
        case ["undefined"]:
            return None
        case ["table", str(name)]:
            return Path(name)
        case ["float", float() | int() | "nan" | "inf" | "-inf" as number]:
            return float(number)
        case ["complex", [real, imaginary]]:
            return complex(float(real), float(imaginary))
        case ["bool", bool(value)] | ["int", int(value)] | ["str", str(value)]:
            return value
        case _:
            raise ValueError(encoded)


def _scalar(value: Any) -> tuple[str, Any]:
    # Python's bool is an int: it comes first.
    if isinstance(value, bool | np.bool_):
        return "bool", bool(value)
    if isinstance(value, int | np.integer):
        return "int", int(value)
    if isinstance(value, float | np.floating):
        return "float", _float(float(value))
    if isinstance(value, complex | np.complexfloating):
        return "complex", [_float(float(value.real)), _float(float(value.imag))]
    if isinstance(value, str):
        # Libraries written in C end a string at its first NUL; the rest is not initialised.
        return "str", _without_folder(value.partition("\0")[0])
    raise DigestError(f"A keyword value of type {type(value).__name__} has no place in a digest.")


def _array(values: np.ndarray[Any, Any]) -> list[Any]:
    """Encode an array: tag, shape in casacore's axis order, members in storage order."""
    if values.size == 0:
        return ["empty"]
    members = [_scalar(member) for member in values.ravel().tolist()]
    return ["array", members[0][0], [*reversed(values.shape)], [member for _, member in members]]


def _float(value: float) -> float | str:
    if math.isnan(value):
        return "nan"
    return value if math.isfinite(value) else ("inf" if value > 0 else "-inf")


def _without_folder(text: str) -> str:
    # A unit may begin with a slash ('/beam'); an absolute path has at least two.
    path = text.rstrip("/")
    return path.rpartition("/")[2] if path.startswith("/") and path.count("/") > 1 and "\n" not in path else text
