"""Tokens that are split: over cards of a FITS header, or over lines and strings of a table with the history of data.

A card holds 72 characters of HISTORY or COMMENT, so a long text goes on in the next. A token that is broken like that
is found, and masked piece by piece.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from mmap import mmap
from pathlib import PurePosixPath

from casaprov.privacy.secrets import TOKEN, Secret, is_random

__all__ = ["has_split", "is_wrapped", "split_secrets", "whole_secrets", "with_masks"]

_FITS = b"SIMPLE"
_CARD = 80
_KEYWORDS = (b"HISTORY ", b"COMMENT ", b"CONTINUE")
_NEXT_CARD = re.compile("HISTORY|COMMENT|CONTINUE")
_HISTORIES = frozenset({"HISTORY", "logtable"})
"""Tables of MeasurementSets and of images that say what was done."""

_CARDS = (
    rb"&? *'? *(?:/[ -~]*?)?CONTINUE  '"  # a text of a keyword that goes on
    rb"| *(?:HISTORY |COMMENT ) *>?"  # casacore marks what goes on with >
)
_LINES = rb" *\r?\n[ >]*"
_BIG, _LITTLE = rb"\0\0\0[^\0]", rb"[^\0]\0\0\0"
"""The length of a string in a table."""

_ANY = b"(" + b"|".join((_CARDS, _LINES, _BIG, _LITTLE)) + b")?"


def is_wrapped(path: str, start: bytes) -> bool:
    """Return True for a file whose texts go on in another place: FITS, and tables with the history of data."""
    return start.startswith(_FITS) or not _HISTORIES.isdisjoint(PurePosixPath(path).parts)


def whole_secrets(data: bytes | mmap, found: Iterable[Secret]) -> Iterator[Secret]:
    """Yield the secrets in a file without the keywords of cards, which stand behind texts that fill their own."""
    for secret in found:
        value = _NEXT_CARD.split(secret.value)[0] if data[:6] == _FITS else secret.value
        if value == secret.value or TOKEN.fullmatch(value):
            yield replace(secret, value=value)


def split_secrets(data: bytes | mmap) -> Iterator[Secret]:
    """Yield the tokens that are split in a file of :func:`is_wrapped`."""
    if data[:6] == _FITS:
        joined = [(region, _CARDS) for region in _cards(data)]
    else:
        joined = [(data[:], gap) for gap in (_LINES + b"|" + _BIG, _LINES + b"|" + _LITTLE)]
    for region, gap in joined:
        for match in TOKEN.finditer(re.sub(gap, b"", region).decode("latin-1")):
            # What stands in one piece was found there; the next text only seems to go on.
            if is_random(match[0]) and not _begins_whole(match[0], region):
                yield Secret(match[0], "an access token")


def has_split(data: bytes | mmap, value: str) -> bool:
    """Return True if a value is in a file, whole or split."""
    return _pattern(value).search(data) is not None


def with_masks(data: bytes, masks: Iterable[tuple[str, str]]) -> bytes:
    """Return the bytes of a file with masks over the pieces of each value; a mask is as long as its value."""
    for value, mask in masks:
        data = _pattern(value).sub(lambda match, mask=mask: _masked(match, mask.encode()), data)  # type: ignore[misc]
    return data


def _masked(found: re.Match[bytes], mask: bytes) -> bytes:
    gaps = [gap or b"" for gap in found.groups()]
    return b"".join(bytes([letter]) + gap for letter, gap in zip(mask, [*gaps, b""], strict=True))


def _pattern(value: str) -> re.Pattern[bytes]:
    return re.compile(_ANY.join(re.escape(bytes([byte])) for byte in value.encode()))


def _begins_whole(value: str, region: bytes) -> bool:
    """Return True if a token, or a beginning of it that is one by itself, stands in one piece."""
    return any(
        TOKEN.fullmatch(value[:length]) and value[:length].encode() in region for length in range(len(value), 9, -1)
    )


def _cards(data: bytes | mmap) -> Iterator[bytes]:
    """Yield the cards of FITS headers whose text goes on in the next card."""
    places = sorted({place for keyword in _KEYWORDS for place in _aligned(data, keyword)})
    start = end = -1
    for place in places:
        if place != end:
            if end >= 0:
                yield data[start:end]
            start = max(0, place - _CARD)  # the card whose text the first one continues
        end = place + _CARD
    if end >= 0:
        yield data[start:end]


def _aligned(data: bytes | mmap, keyword: bytes) -> Iterator[int]:
    place = data.find(keyword)
    while place >= 0:
        if place % _CARD == 0:
            yield place
        place = data.find(keyword, place + 1)
