"""Sentences to the user of a kernel, below the cell that runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from casaprov.kernel.page import Line, bundle_of, has_front_end

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["print_notice", "show_wait"]

_MOST_NAMES = 3


def print_notice(sentence: str) -> None:
    """Print a sentence about trouble to stderr, which front ends show in red below the cell."""
    print(sentence, file=sys.stderr)  # noqa: T201 - a kernel has no other way to speak


def show_wait(shell: InteractiveShell, names: Sequence[str]) -> None:
    """Show which files a cell waits for, given their names, as normal output; nothing if there are none."""
    if not names:
        return
    others = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    sentence = f"casaprov: still digesting {', '.join(names[:_MOST_NAMES])}{others}; this waits until that is done."
    if has_front_end(shell):
        shell.display_pub.publish(bundle_of([Line(sentence)]))
    else:
        print(sentence, file=sys.stderr)  # noqa: T201 - a terminal shows it like any text, and stdout is the user's
