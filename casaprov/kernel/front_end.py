"""Whether somebody shows what a shell publishes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["has_front_end"]


def has_front_end(shell: InteractiveShell) -> bool:
    """Tell whether a shell is that of a kernel; a terminal shows no HTML and has no outputs to update."""
    return getattr(shell, "kernel", None) is not None
