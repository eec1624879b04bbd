"""Files and folders that a product consists of, ``table.lock`` and files without content included."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from casaprov.files.regular import scan
from casaprov.files.stamps import StatStamp

__all__ = ["Irregular", "ProductFile", "file_text", "list_product"]


class Irregular(Exception):
    """A product holds something that cannot be kept and restored; the message names it."""


@dataclass(frozen=True, slots=True)
class ProductFile:
    """A file or folder of a product.

    Attributes
    ----------
    path
        POSIX path relative to the product; empty for the product itself.
    stamp
        Stamp of a file; None for a folder.
    """

    path: str
    mode: int
    stamp: StatStamp | None

    @property
    def size_bytes(self) -> int:
        """Size of a file."""
        return 0 if self.stamp is None else self.stamp.size


def list_product(path: Path) -> tuple[ProductFile, ...]:
    """List the folders and files of a product, each folder before its members; nothing if the product is absent.

    Raises
    ------
    Irregular
        If it is or holds a link, a pipe, a socket, a device, or a file that has another name elsewhere: with a copy
        of such a file, a task that changes it would no longer change the other.
    OSError
        If it cannot be read.
    """
    try:
        facts = path.lstat()
    except FileNotFoundError:
        return ()
    return tuple(_listed(str(path), "", facts))


def file_text(product: Path, path: str) -> str:
    """Return the path of a file of a product as text: a product has hundreds, and paths are slow to make."""
    return f"{product}/{path}" if path else str(product)


def _listed(path: str, name: str, facts: os.stat_result) -> Iterator[ProductFile]:
    mode = stat.S_IMODE(facts.st_mode)
    if stat.S_ISREG(facts.st_mode):
        if facts.st_nlink > 1:
            raise Irregular(f"{path} has another name elsewhere (a hard link).")
        yield ProductFile(name, mode, StatStamp.of(facts))
    elif stat.S_ISDIR(facts.st_mode):
        yield ProductFile(name, mode, None)
        for entry in sorted(scan(path), key=lambda entry: entry.name):
            below = f"{name}/{entry.name}" if name else entry.name
            yield from _listed(entry.path, below, entry.stat(follow_symlinks=False))
    else:
        kind = "a link" if stat.S_ISLNK(facts.st_mode) else "neither a file nor a folder"
        raise Irregular(f"{path} is {kind}.")
