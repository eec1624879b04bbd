"""Checksums that an archive delivers beside a file: ``x.fits.md5``, ``SHA256SUMS``.

They are recorded as they are given, and not verified. They tie the record to the archive where a file is too large
to be read as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from casaprov.errors import DigestError
from casaprov.files.regular import open_regular
from casaprov.records.model import Checksum

__all__ = ["checksums_beside"]

_LENGTHS: dict[Literal["md5", "sha1", "sha256", "sha512"], int] = {"md5": 32, "sha1": 40, "sha256": 64, "sha512": 128}
_LINE = re.compile(r"([0-9A-Fa-f]{32,128})(?:[ \t]+\*?(.*))?")
_MAX_BYTES = 2**22


def checksums_beside(path: Path) -> tuple[Checksum, ...]:
    """Return the checksums of a file or folder in files beside it, in the form of coreutils (``md5sum``).

    These files are ``NAME.md5``, ``NAME.md5sum``, ``MD5SUMS``, ``md5sum.txt`` and ``md5sums.txt``, and the same for
    sha1, sha256 and sha512.
    """
    return tuple(_found(path))


def _found(path: Path) -> Iterator[Checksum]:
    for algorithm, length in _LENGTHS.items():
        own = (f"{path.name}.{algorithm}", f"{path.name}.{algorithm}sum")
        lists = (f"{algorithm.upper()}SUMS", f"{algorithm}sum.txt", f"{algorithm}sums.txt")
        for source in (*own, *lists):
            for line in _lines(path.with_name(source)):
                parts = _LINE.fullmatch(line.strip())
                if parts is None or len(parts[1]) != length:
                    continue
                # A line without a name can only mean the file that its own name says.
                named = Path(parts[2]).name if parts[2] else path.name if source in own else ""
                if named == path.name:
                    yield Checksum(algorithm=algorithm, value=parts[1].lower(), source=source)
                    break


def _lines(path: Path) -> list[str]:
    try:
        with open_regular(path) as stream:
            return stream.read(_MAX_BYTES).decode("utf-8", "replace").splitlines()
    except (OSError, DigestError):
        return []
