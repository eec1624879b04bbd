"""Tools of CASA end in the threads that use CASA, also if another thread collects them as garbage.

An exception can hold a tool in a circle of references. Such a tool ends in the thread in which Python happens to collect
garbage. In a kernel that can be any thread: one that finishes records, or one of Jupyter. casacore is not safe for
threads: the tool's table would be flushed and closed while the user's thread runs a task on it, and the task would
fail, end the process, or write nonsense. So the object below a tool is kept until a thread that makes tools can end it.

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
    """Keeps the C++ object below each tool, so that the collection of garbage does not end it beside a task."""

    def __init__(self) -> None:
        self._process = os.getpid()
        self._here = threading.local()
        self._live: dict[int, tuple[weakref.ref[Any], Any]] = {}
        self._ended: deque[Any] = deque()
        self._undo: list[Callable[[], None]] = []

    def install(self, package: ModuleType) -> None:
        """Keep the tools of the package ``casatools`` that are made from now on."""
        for kind in vars(package).values():
            if isinstance(kind, type) and kind.__module__.startswith(f"{package.__name__}."):
                self._wrap(kind)
        gc.callbacks.append(self._collecting)

    def remove(self) -> None:
        """Keep no tool any more, those included that were made before."""
        while self._undo:
            self._undo.pop()()
        with suppress(ValueError):
            gc.callbacks.remove(self._collecting)
        self._live.clear()
        self.release()

    def release(self) -> None:
        """End the tools that were garbage in other threads, if this is a thread that makes tools."""
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
