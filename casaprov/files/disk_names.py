"""Names as a disk takes them: some do not tell ``A`` from ``a``, or two spellings of ``é``, and list only one of them."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath

__all__ = ["as_listed", "clashes", "folded"]

IsSame = Callable[[Path, Path], bool]


def folded(name: str) -> str:
    """Return one spelling of all names that some disk takes for the same (APFS, HFS+, NTFS, FAT)."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def clashes(paths: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Return the pairs of POSIX paths that are one on such a disk: of whole paths, or of folders above them."""
    known: dict[str, str] = {}
    seen: set[str] = set()
    found: list[tuple[str, str]] = []
    for path in paths:
        above = ""
        for part in PurePosixPath(path).parts:
            above = f"{above}/{part}" if above else part
            if above in seen:
                continue
            seen.add(above)
            first = known.setdefault(folded(above), above)
            if first != above:
                found.append((first, above))
                break
    return tuple(found)


def as_listed(
    path: Path, folder: Path, *, same: IsSame | None = None, names: Callable[[Path], list[str]] = os.listdir
) -> Path:
    """Return a path with the names below `folder` spelt as the disk lists them, if it takes other spellings for them too.

    Parameters
    ----------
    same
        Tells whether two paths lead to one file; by default the system does.
    names
        Lists a folder.
    """
    below = path.is_relative_to(folder)
    place, parts = (folder, path.relative_to(folder).parts) if below else (path.parent, (path.name,))
    for part in parts:
        place /= _listed(place, part, same or _is_same, names)
    return place


def _listed(folder: Path, name: str, same: IsSame, names: Callable[[Path], list[str]]) -> str:
    if not any(same(folder / name, folder / other) for other in _spellings(name)):
        return name  # nothing is there, or the disk tells the spellings apart
    try:
        present = names(folder)
    except OSError:
        return name
    if name in present:
        return name
    return next((other for other in present if folded(other) == folded(name)), name)


def _spellings(name: str) -> Iterator[str]:
    others = (name.swapcase(), *(unicodedata.normalize(form, name) for form in ("NFC", "NFD") if not name.isascii()))
    yield from dict.fromkeys(other for other in others if other != name)


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except (OSError, ValueError):
        return False
