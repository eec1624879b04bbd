"""Digests of canonical pre-images.

A digest is written ``sha256:<64 hex digits>``. Every pre-image is the canonical
JSON of an array whose first member names its record type and version
(``["casaprov/column/1", …]``), so that two different kinds of thing can never
share a digest. Bulk values enter a pre-image as digests of fixed-size blocks
(:class:`BlockHasher`), which lets them be hashed in parts.

The protocol is documented in ``docs/explanation/digests.md``.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Sequence
from typing import Any, NewType

from casaprov.errors import DigestError

__all__ = [
    "BLOCK_BYTES",
    "BlockHasher",
    "Digest",
    "canonical_json",
    "digest_blocks",
    "digest_bytes",
    "digest_record",
]

Buffer = bytes | bytearray | memoryview

Digest = NewType("Digest", str)
"""``sha256:`` and 64 hexadecimal digits."""

BLOCK_BYTES = 16 * 2**20
"""Values are hashed in blocks of this many bytes of their value stream."""

_PLAIN = (str, int, bool, type(None))


def canonical_json(value: Any) -> bytes:
    """Encode `value` as its one canonical JSON text.

    Keys are sorted, there is no white space, the text is UTF-8, NaN and
    infinity are refused (write them as strings first). Floats are written by
    :func:`repr`, the shortest text that reads back to the same double; an
    integer and the float equal to it differ.

    Raises
    ------
    DigestError
        If `value` holds something that JSON has no canonical form for.
    """
    _check(value)
    # File names of any bytes are texts with lone surrogates, which plain UTF-8 has no bytes for.
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "surrogatepass")


def _check(value: Any) -> None:
    """Refuse values that :func:`json.dumps` would write in one of several ways, or not at all."""
    members: Iterable[Any] = ()
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise DigestError(f"The key {key!r} is not a string; it has no canonical JSON form.")
        members = value.values()
    elif isinstance(value, list | tuple):
        members = value
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise DigestError(f"{value!r} has no canonical JSON form.")
    elif value is not None and not isinstance(value, int | str):
        raise DigestError(f"A {type(value).__name__} has no canonical JSON form.")
    for member in members:
        # An array has many members: those that need no look, and finite numbers, are not called for.
        kind = type(member)
        if kind not in _PLAIN and not (kind is float and math.isfinite(member)):
            _check(member)


def digest_bytes(data: Buffer) -> Digest:
    """Digest the bytes themselves."""
    return Digest("sha256:" + hashlib.sha256(data).hexdigest())


def digest_record(record_type: str, *members: Any) -> Digest:
    """Digest a typed record: ``sha256`` of ``[record_type, *members]`` in canonical JSON."""
    return digest_bytes(canonical_json([record_type, *members]))


def digest_blocks(length: int, blocks: Sequence[str]) -> Digest:
    """Digest a stream of `length` bytes from the digests of its blocks of :data:`BLOCK_BYTES`, hexadecimal."""
    return digest_record("casaprov/values/1", length, blocks)


class BlockHasher:
    """Digest of a stream of bytes, independent of how it is cut into pieces.

    The stream is cut into blocks of :data:`BLOCK_BYTES`, each is hashed, and
    the record ``["casaprov/values/1", length, [block digests]]`` is hashed. A
    block can therefore be computed on its own, by another process.
    """

    def __init__(self) -> None:
        self._blocks: list[str] = []
        self._open = hashlib.sha256()
        self._filled = 0
        self._length = 0

    def update(self, data: Buffer) -> None:
        """Append `data` (any C-contiguous buffer) to the stream."""
        rest = memoryview(data).cast("B")  # slices of a view are not copied
        self._length += len(rest)
        while rest:
            part = rest[: BLOCK_BYTES - self._filled]
            self._open.update(part)
            self._filled += len(part)
            rest = rest[len(part) :]
            if self._filled == BLOCK_BYTES:
                self._close_block()

    def digest(self) -> Digest:
        """Return the digest of the appended bytes; call it once, at the end."""
        return digest_blocks(self._length, self.blocks())

    def blocks(self) -> list[str]:
        """Return the digests of the blocks of the appended bytes, hexadecimal; call it once, at the end."""
        if self._filled:
            self._close_block()
        return self._blocks

    def _close_block(self) -> None:
        self._blocks.append(self._open.hexdigest())
        self._open = hashlib.sha256()
        self._filled = 0
