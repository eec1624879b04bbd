"""CASA's tools end in the threads that use CASA, whatever thread finds them among the garbage.

A tool that an exception holds in a circle of references ends where Python happens to collect garbage. In a kernel that is
any thread: those that finish records, and those of Jupyter. casacore is not made for that: what the tool has open is
flushed and closed beside the task that the user's thread is in, which then fails, ends the process, or writes nonsense.
A tool whose last reference goes ends at once, in whatever thread, as it does without casaprov.
"""

from __future__ import annotations

import functools
import gc
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import ModuleType
from typing import Any

__all__ = ["ToolLifetimes"]


class ToolLifetimes:
    """Keeps what lies below each tool, so that whoever collects garbage does not end it beside a task."""

    def __init__(self) -> None:
        self._process = os.getpid()
        self._here = threading.local()
        self._live: dict[int, tuple[weakref.ref[Any], Any]] = {}
        self._ended: deque[Any] = deque()
        self._undo: list[Callable[[], None]] = []

    def install(self, package: ModuleType) -> None:
        """Look after all tools of the package ``casatools`` that are made from now on."""
        for kind in vars(package).values():
            if isinstance(kind, type) and kind.__module__.startswith(f"{package.__name__}."):
                self._wrap(kind)
        gc.callbacks.append(self._collecting)

    def remove(self) -> None:
        """Look after no tool any more, also of those that were made."""
        while self._undo:
            self._undo.pop()()
        with suppress(ValueError):
            gc.callbacks.remove(self._collecting)
        self._live.clear()
        self.release()

    def release(self) -> None:
        """Let go of the tools that were garbage in other threads, if this is a thread that makes tools."""
        if not getattr(self._here, "makes_tools", False) or os.getpid() != self._process:
            return
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
            self._here.makes_tools = True
            self.release()
            original(tool, *args, **kwargs)
            self._keep(tool)

        made.__casaprov__ = True  # type: ignore[attr-defined]
        setattr(kind, "__init__", made)  # noqa: B010 - mypy knows that a method is no attribute
        self._undo.append(lambda: setattr(kind, "__init__", original))

    def _keep(self, tool: Any) -> None:
        below = getattr(tool, "_swigobj", None)
        if below is not None:
            ref = weakref.ref(tool, self._gone)
            self._live[id(ref)] = (ref, below)

    def _gone(self, ref: weakref.ref[Any]) -> None:
        kept = self._live.pop(id(ref), None)
        is_garbage = getattr(self._here, "is_collecting", False)
        if kept is not None and is_garbage and not getattr(self._here, "makes_tools", False):
            self._ended.append(kept[1])

    def _collecting(self, phase: str, _info: Mapping[str, Any]) -> None:
        self._here.is_collecting = phase == "start"
