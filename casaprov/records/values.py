"""Any Python value as a JSON value that keeps its type.

Parameters and return values of tasks are mostly JSON already. Other values are
written as an object with one key that starts with ``@``:

===============================  ===============================================
``{"@float": "nan"}``            NaN and infinities
``{"@complex": [re, im]}``       complex numbers
``{"@array": […], "dtype": …}``  numpy arrays, nested lists by rows
``{"@scalar": 5, "dtype": …}``   numpy scalars: to CASA, ``numpy.int64(5)`` is not 5
``{"@bytes": "<hex>"}``          bytes
``{"@items": [[key, value], …]}``  dicts whose keys are not all plain strings
``{"@object": "<type>", …}``     anything else, by type and shortened `repr`
===============================  ===============================================

The last one cannot be read back (:func:`is_exact`).
"""

from __future__ import annotations

import json
import math
import numbers
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from os import PathLike, fspath
from typing import Any

import numpy as np

__all__ = ["Room", "from_json", "is_exact", "summarise", "to_json", "value_text"]

_MAX_DEPTH = 40
_MAX_REPEATS = 10_000  # sixty lists, each twice in the next one, have 2**60 paths through them
_MAX_BITS = 10_000  # Python refuses to write longer integers in decimal
_MAX_REPR = 200
_MAX_MEMBERS = 2_000_000
_MAX_BYTES = 2**28  # for all arrays: a dtype such as "<U10000000" is short to write
_MAX_PADDING = 2**20  # bytes; a larger string array is made no wider than its longest string


@dataclass
class _Way:
    """The containers around a value, all containers met so far, and how often one was met again."""

    around: set[int] = field(default_factory=set)
    met: set[int] = field(default_factory=set)
    repeats: int = 0


@dataclass
class Room:
    """Bytes that all arrays which are read back may still take together."""

    left: int = _MAX_BYTES

    def take(self, count: int) -> None:
        """Take `count` bytes; raise ValueError if fewer are left."""
        self.left -= count
        if self.left < 0:
            raise ValueError(f"recorded values take no more than {_MAX_BYTES} bytes")


def to_json(value: Any) -> Any:
    """Return any value as JSON values; never raise."""
    return _to_json(value, _Way())


def _to_json(value: Any, way: _Way) -> Any:
    try:
        return _read(value, way)
    except Exception as error:  # noqa: BLE001 - foreign objects may raise anything from any method
        return {"@object": _type_name(value), "unreadable": type(error).__name__}


def _read(value: Any, way: _Way) -> Any:
    kind = type(value)
    if value is None or kind is bool or kind is str:
        return value
    if kind is float:
        return _real(value)
    if kind is list or kind is dict:
        return _container(value, way)
    if isinstance(value, str):
        return str.__str__(value)  # the characters, as CASA sees them; an enum may have another text of its own
    if isinstance(value, PathLike):
        path = fspath(value)
        return str.__str__(path) if isinstance(path, str) else {"@bytes": path.hex()}
    if isinstance(value, bytes | bytearray):
        return {"@bytes": bytes(value).hex()}
    if hasattr(value, "dtype") and hasattr(value, "tolist"):
        return _array(value, way)
    if isinstance(value, numbers.Integral):
        number = int(value)
        return number if number.bit_length() <= _MAX_BITS else _opaque(value, text=hex(number))
    if isinstance(value, numbers.Real):
        return _real(float(value))
    if isinstance(value, numbers.Complex):
        pair = complex(value)
        return {"@complex": [_real(pair.real), _real(pair.imag)]}
    if isinstance(value, Mapping | list | tuple | Set):
        return _container(value, way)
    return _opaque(value)


def _real(number: float) -> Any:
    return number if math.isfinite(number) else {"@float": repr(number)}


def _array(value: Any, way: _Way) -> Any:
    # A type without an equal in Python, such as numpy.longdouble, stays a numpy type in tolist().
    plain = value.dtype.kind in "biufcSU" and not hasattr(value.dtype.type().tolist(), "dtype")
    if getattr(value, "ndim", 0) == 0:
        return _scalar(value, way) if plain else _opaque(value)
    if value.size > _MAX_MEMBERS or value.nbytes > _MAX_BYTES or not plain:
        return {**_opaque(value), "shape": list(value.shape), "dtype": str(value.dtype)}
    # An array of plain JSON numbers need not be converted one by one.
    ready = value.dtype.kind in "bi" or (value.dtype.kind == "f" and bool(np.isfinite(value).all()))
    members = value.tolist() if ready else _to_json(value.tolist(), way)
    return {"@array": members, "dtype": str(value.dtype), "shape": list(value.shape)}


def _scalar(value: Any, way: _Way) -> Any:
    plain = _to_json(value.tolist(), way)
    return plain if value.dtype.kind in "SU" else {"@scalar": plain, "dtype": str(value.dtype)}


def _container(value: Any, way: _Way) -> Any:
    way.repeats += id(value) in way.met
    if id(value) in way.around or len(way.around) >= _MAX_DEPTH or way.repeats > _MAX_REPEATS:
        return _opaque(value, text="…")
    way.met.add(id(value))
    way.around.add(id(value))
    try:
        if isinstance(value, Mapping):
            plain = all(type(key) is str and not key.startswith("@") for key in value)
            members = [(_to_json(k, way), _to_json(v, way)) for k, v in value.items()]
            return dict(members) if plain else {"@items": [list(pair) for pair in members]}
        ordered = sorted(value, key=repr) if isinstance(value, Set) else value
        return [_to_json(member, way) for member in ordered]
    finally:
        way.around.discard(id(value))


def _opaque(value: Any, text: str | None = None) -> dict[str, Any]:
    try:
        text = repr(value) if text is None else text
    except Exception:  # noqa: BLE001 - a broken __repr__ must not end a recording
        text = ""
    return {"@object": _type_name(value), "repr": text[:_MAX_REPR]}


def _type_name(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def is_exact(value: Any) -> bool:
    """Return True if a JSON value from :func:`to_json` can be read back."""
    if isinstance(value, dict):
        return "@object" not in value and all(is_exact(member) for member in value.values())
    return not isinstance(value, list) or all(is_exact(member) for member in value)


def from_json(value: Any, room: Room | None = None) -> Any:
    """Read back the JSON values of :func:`to_json`; tuples and sets become lists.

    Parameters
    ----------
    room
        Limit that several values share; by default this value has one of its own.

    Raises
    ------
    ValueError, TypeError
        If `value` is not of the form that :func:`to_json` writes.
    """
    room = room or Room()
    if isinstance(value, list):
        return [from_json(member, room) for member in value]
    if not isinstance(value, dict):
        return value
    match value:
        case {"@float": text}:
            return float(text)
        case {"@complex": [real, imag]}:
            return complex(from_json(real, room), from_json(imag, room))
        case {"@array": members, "dtype": dtype, "shape": shape}:
            return _array_of(from_json(members, room), _dtype(dtype), room).reshape(shape)
        case {"@scalar": number, "dtype": dtype}:
            return _dtype(dtype).type(from_json(number, room))
        case {"@bytes": text}:
            return bytes.fromhex(text)
        case {"@items": pairs}:
            return {from_json(key, room): from_json(member, room) for key, member in pairs}
        case _:
            return {key: from_json(member, room) for key, member in value.items()}


def _array_of(members: Any, dtype: np.dtype[Any], room: Room) -> np.ndarray[Any, Any]:
    count, longest = 0, 1
    for member in _leaves(members):
        count += 1
        longest = max(longest, len(member)) if isinstance(member, str | bytes) else longest
    room.take(count * dtype.itemsize)
    if dtype.kind in "SU" and count * dtype.itemsize > _MAX_PADDING:
        unit = np.dtype(f"{dtype.kind}1").itemsize
        dtype = np.dtype(f"{dtype.str[:2]}{min(longest, dtype.itemsize // unit)}")
    return np.array(members, dtype=dtype)


def _leaves(members: Any) -> Iterator[Any]:
    if isinstance(members, list):
        for member in members:
            yield from _leaves(member)
    elif isinstance(members, bool | int | float | complex | str | bytes):
        yield members
    else:
        raise TypeError(f"{type(members).__name__} is no member of a recorded array")


def _dtype(text: Any) -> np.dtype[Any]:
    """Return a dtype that :func:`to_json` writes: a plain number or string."""
    dtype = np.dtype(str(text))
    if dtype.kind not in "biufcSU" or dtype.itemsize > _MAX_BYTES:
        raise ValueError(f"{text!r} is no type of recorded values")
    return dtype


def summarise(value: Any, max_bytes: int) -> Any:
    """Return `value` (JSON values), cut so that its JSON text stays near `max_bytes`.

    Long strings, lists and objects keep their beginning; the rest is replaced
    by ``{"@cut": <number of members left out>}``.
    """
    if not isinstance(value, str | dict | list) or _size(value) <= max_bytes:
        return value
    if isinstance(value, str):
        return value[: max_bytes // 2] + f"… (+{len(value) - max_bytes // 2} characters)"
    if isinstance(value, dict):
        kept = dict(_within(((k, summarise(v, max_bytes // 4)) for k, v in value.items()), max_bytes))
        return kept if len(kept) == len(value) else {**kept, "@cut": len(value) - len(kept)}
    members = [m for _, m in _within(((str(i), summarise(v, max_bytes // 4)) for i, v in enumerate(value)), max_bytes)]
    return [*members, {"@cut": len(value) - len(members)}] if len(members) < len(value) else members


def _within(pairs: Iterable[tuple[str, Any]], max_bytes: int) -> list[tuple[str, Any]]:
    kept: list[tuple[str, Any]] = []
    filled = 0
    for pair in pairs:
        if filled >= max_bytes:
            break
        kept.append(pair)
        filled += _size(pair)
    return kept


def _size(value: Any) -> int:
    """Return the size of a JSON value's compact JSON text, in bytes."""
    return len(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass"))


def value_text(value: Any, most: int) -> str:
    """Return a recorded value as Python writes it, on one line of at most `most` characters."""
    try:
        text = repr(from_json(value))
    except (ValueError, TypeError):
        text = repr(value)
    text = " ".join(text.split())
    return text if len(text) <= most else f"{text[: most - 1]}…"
