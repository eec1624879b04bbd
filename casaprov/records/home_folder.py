"""Paths of a record that was packed: ``/~`` stands for the home folder, ``user`` for the name of an account."""

from __future__ import annotations

import os
import pwd
import re
from pathlib import Path
from typing import Final

__all__ = ["ACCOUNT", "HOME", "account_name", "expanded_account", "expanded_home", "part_of_path"]

HOME: Final = "/~"
"""Beginning of a path below the home folder; an absolute path, as paths outside of the session's folder are."""

ACCOUNT: Final = "user"
"""Name of the author's account in paths outside of the home folder, and in texts."""


def expanded_home(path: str) -> str:
    """Return a recorded path with the home folder of this user in place of :data:`HOME`."""
    return f"{Path.home()}{path.removeprefix(HOME)}" if path == HOME or path.startswith(f"{HOME}/") else path


def expanded_account(path: str) -> str:
    """Return a recorded path with the account of this user in place of :data:`ACCOUNT`."""
    name = account_name()
    return part_of_path(ACCOUNT).sub(lambda _: name, path) if name else path


def account_name() -> str:
    """Return the name of the account that this process runs in; empty if the system knows none."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return ""


def part_of_path(name: str) -> re.Pattern[str]:
    """Return the pattern of a name in a path: a part of it, or a word of a part such as ``pytest-of-anna``."""
    return re.compile(rf"(?<![^/\-_@=+~]){re.escape(name)}(?![^/\-_@=+~])")
