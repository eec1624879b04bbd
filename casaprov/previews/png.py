"""Pictures of 256 colours as PNG, in the few lines that this needs."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["QuickLook", "png_address"]

# Dark to bright in even steps of lightness, so that it reads the same in grey; entry 0, white, is no value.
_ANCHORS = ((0, 0, 4), (40, 11, 84), (101, 21, 110), (159, 42, 99), (212, 72, 66), (245, 125, 21), (250, 193, 39), (252, 255, 164))  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class QuickLook:
    """A small picture of one plane of an image.

    Attributes
    ----------
    pixels
        One byte a pixel, the top row first; 0 is no value, 1 to 255 go from `low` to `high`.
    plane, planes
        Which of how many planes, from 1.
    shape
        Axes of the image in casacore's order.
    """

    width: int
    height: int
    pixels: bytes
    low: float
    high: float
    unit: str = ""
    plane: int = 1
    planes: int = 1
    shape: tuple[int, ...] = ()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> QuickLook:
        """Read a picture from the answer of a worker."""
        pixels = base64.b64decode(data["pixels"])
        return cls(**{**data, "pixels": pixels, "shape": tuple(data["shape"])})


def png_address(look: QuickLook) -> str:
    """Return a picture as the address that a page shows it by."""
    rows = (look.pixels[start : start + look.width] for start in range(0, len(look.pixels), look.width))
    header = struct.pack(">IIBBBBB", look.width, look.height, 8, 3, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows), 9)
    chunks = (_chunk(b"IHDR", header), _chunk(b"PLTE", _palette()), _chunk(b"IDAT", data), _chunk(b"IEND", b""))
    return "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"".join(chunks)).decode()


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _palette() -> bytes:
    colours = [(255, 255, 255)]
    for number in range(255):
        place = number / 254 * (len(_ANCHORS) - 1)
        below = min(int(place), len(_ANCHORS) - 2)
        share = place - below
        pairs = zip(_ANCHORS[below], _ANCHORS[below + 1], strict=True)
        colours.append(tuple(round(a + (b - a) * share) for a, b in pairs))  # type: ignore[arg-type]
    return bytes(value for colour in colours for value in colour)
