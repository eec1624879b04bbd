"""Sentences to the user of a kernel, below the cell that runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["print_notice", "print_wait"]

_MOST_NAMES = 3


def print_notice(sentence: str) -> None:
    """Print a sentence to stderr, which front ends show below the cell."""
    print(sentence, file=sys.stderr)  # noqa: T201 - a kernel has no other way to speak


def print_wait(names: Sequence[str]) -> None:
    """Print which files a cell waits for, given their names; nothing if there are none."""
    if names:
        others = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
        print_notice(
            f"casaprov: still digesting {', '.join(names[:_MOST_NAMES])}{others}; this waits until that is done."
        )
