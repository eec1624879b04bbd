"""File systems of the tests' own, made in a file or in memory."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

__all__ = ["mounted"]

_PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"


@contextmanager
def mounted(kind: str, folder: Path, *, size_mb: int = 400) -> Iterator[Path]:
    """Mount a new file system and return its folder; skip the test if none can be mounted.

    Parameters
    ----------
    kind
        ``xfs``, ``btrfs``, ``ext4``, ``tmpfs``, or ``ntfs``, which does not tell ``A`` from ``a``.
    """
    if os.geteuid() != 0:
        pytest.skip("to mount a file system takes root")
    place, image = folder / f"mounted-{kind}", folder / f"image-{kind}"
    place.mkdir(parents=True)
    if kind == "tmpfs":
        command = ["mount", "-t", "tmpfs", "-o", f"size={size_mb}m", "tmpfs", str(place)]
    else:
        make = shutil.which(f"mkfs.{kind}", path=_PATH)
        if make is None:
            pytest.skip(f"there is no mkfs.{kind}: apt-get install xfsprogs btrfs-progs e2fsprogs ntfs-3g")
        with image.open("wb") as file:
            file.truncate(size_mb * 2**20)
        forced = ["-F"] if kind == "ntfs" else []  # a file is no disk
        subprocess.run([make, "-q", *forced, str(image)], check=True, capture_output=True)
        command = ["mount", "-o", "loop", str(image), str(place)]
        if kind == "ntfs":
            command = ["mount.lowntfs-3g", "-o", "ignore_case", str(image), str(place)]
    done = subprocess.run(command, check=False, capture_output=True)
    if done.returncode:
        pytest.skip(f"no {kind} can be mounted here: {done.stderr.decode().strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)
        image.unlink(missing_ok=True)
