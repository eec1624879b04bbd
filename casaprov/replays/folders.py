"""The folders of a replay: an empty one to work in, and a private one out of reach of the calls."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from casaprov.errors import UsageError

__all__ = ["JOURNAL", "empty_folder", "private_folder"]

JOURNAL = "replay"
"""Name of the folder with the replay's own record, in the private folder first, then in ``.casaprov``."""


@contextmanager
def empty_folder(work: Path) -> Iterator[Path]:
    """Make the work folder, and yield its absolute path; remove it again if nothing was put there.

    Raises
    ------
    UsageError
        If it is not empty, or cannot be made.
    """
    existed = work.exists()
    if existed and (not work.is_dir() or any(work.iterdir())):
        raise UsageError(
            f"The work folder {work} is {'not empty' if work.is_dir() else 'a file'}.",
            hint="Name an empty or new folder with --work; nothing was touched.",
        )
    try:
        work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"The work folder {work} cannot be made: {error.strerror}.", hint="Name another one with --work."
        ) from error
    work = work.resolve()
    try:
        yield work
    finally:
        if not existed and not any(work.iterdir()):
            work.rmdir()


@contextmanager
def private_folder(work: Path) -> Iterator[Path]:
    """Make a folder for the crate and the replay's own record, where the calls cannot reach it.

    At the end it is removed, and the record moves into ``.casaprov`` of the
    work folder, in place of whatever the calls left there.
    """
    # Beside the work folder if possible: then the record is moved by a rename.
    parent = work.parent if os.access(work.parent, os.W_OK) and _is_same_disk(work, work.parent) else None
    private = Path(tempfile.mkdtemp(prefix=f".{work.name}-", dir=parent))
    try:
        yield private
    finally:
        own = work / ".casaprov"
        if own.is_symlink():
            own.unlink()
        else:
            shutil.rmtree(own, ignore_errors=True)
        if (private / JOURNAL).is_dir():
            with suppress(OSError):  # on a full disk the record may be lost; the replay's own error counts
                own.mkdir()
                shutil.move(private / JOURNAL, own / JOURNAL)
        shutil.rmtree(private, ignore_errors=True)


def _is_same_disk(first: Path, second: Path) -> bool:
    return first.stat().st_dev == second.stat().st_dev
