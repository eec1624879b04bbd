"""The reader of pictures, which uses Pillow; it comes with matplotlib."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from casaprov.comparison.pictures import Pixels
from casaprov.files.regular import open_regular

__all__ = ["read_pixels"]

_FORMATS = ("PNG", "JPEG", "PPM", "GIF", "BMP")


def read_pixels(path: Path) -> Pixels | None:
    """Return the pixels of a picture; None if it is none, cannot be read, or there is no Pillow."""
    try:
        from PIL import Image
    except ImportError:
        return None
    try:
        with open_regular(path) as file, Image.open(file, formats=_FORMATS) as picture:
            pixels: Pixels = np.asarray(picture.convert("RGBA"))
            return pixels
    except Exception:  # noqa: BLE001 - a damaged or a monstrous picture is compared by its bytes
        return None
