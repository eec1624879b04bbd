"""CASA's tools end in the threads that use CASA, whatever thread finds that nobody needs them any more.

A tool that an exception holds in a circle of references is destroyed where Python happens to collect garbage. In a kernel
that is any thread: those that finish records, and those of Jupyter. casacore is not made for that: what the tool has open is
flushed and closed beside the task that the user's thread is in, which then fails, ends the process, or writes nonsense.
"""

from __future__ import annotations

import functools
import threading
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from types import ModuleType
from typing import Any

__all__ = ["ToolLives"]


class ToolLives:
    """Keeps what lies below each tool until a thread that uses tools can let go of it."""

    def __init__(self) -> None:
        self._here = threading.local()
        self._live: dict[int, tuple[weakref.ref[Any], Any]] = {}
        self._ended: deque[Any] = deque()
        self._undo: list[Callable[[], None]] = []

    def install(self, package: ModuleType) -> None:
        """Look after all tools of the package ``casatools`` that are made from now on."""
        for kind in vars(package).values():
            if isinstance(kind, type) and kind.__module__.startswith(f"{package.__name__}."):
                self._wrap(kind)

    def remove(self) -> None:
        """Look after no tool any more, also of those that were made."""
        while self._undo:
            self._undo.pop()()
        self._live.clear()
        self.release()

    def release(self) -> None:
        """Let go of the tools that ended in other threads; to be called where CASA is used, and does nothing just now."""
        with suppress(IndexError):
            while True:
                self._ended.popleft()

    # -- parts ---------------------------------------------------------------

    def _wrap(self, kind: type) -> None:
        original = kind.__dict__.get("__init__")
        if original is None or hasattr(original, "__casaprov__"):
            return

        @functools.wraps(original)
        def made(tool: Any, *args: Any, **kwargs: Any) -> None:
            self.release()
            original(tool, *args, **kwargs)
            self._keep(tool)

        made.__casaprov__ = True  # type: ignore[attr-defined]
        setattr(kind, "__init__", made)  # noqa: B010 - mypy knows that a method is no attribute
        self._undo.append(lambda: setattr(kind, "__init__", original))

    def _keep(self, tool: Any) -> None:
        self._here.uses_tools = True
        below = getattr(tool, "_swigobj", None)
        if below is not None:
            ref = weakref.ref(tool, self._gone)
            self._live[id(ref)] = (ref, below)

    def _gone(self, ref: weakref.ref[Any]) -> None:
        kept = self._live.pop(id(ref), None)
        if kept is not None and not getattr(self._here, "uses_tools", False):
            self._ended.append(kept[1])
