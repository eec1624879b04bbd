"""The run of a script as the main module of this process: names, output and tracebacks are those of plain Python."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType, TracebackType

__all__ = ["end_by_interrupt", "execute", "main_module"]

_CASAPROV = Path(__file__).parents[1]


def main_module(path: Path) -> ModuleType:
    """Return a new main module with the names that Python gives to that of a script."""
    module = ModuleType("__main__")
    module.__dict__.update(
        __annotations__={},
        __builtins__=sys.modules["builtins"],
        __cached__=None,
        __file__=str(path),
        __loader__=SourceFileLoader("__main__", str(path)),
    )
    sys.modules["__main__"] = module
    return module


def execute(data: bytes, path: Path, module: ModuleType) -> BaseException | None:
    """Execute a script; print the traceback of an exception that ends it as Python does, and return the exception."""
    try:
        exec(compile(data, str(path), "exec", dont_inherit=True), module.__dict__)  # noqa: S102 - the user's script
    except SystemExit as error:
        return error
    except BaseException as error:  # noqa: BLE001 - an interrupt ends a script, too
        _hide_recorder(error)
        sys.excepthook(type(error), error, error.__traceback__)
        return error
    return None


def end_by_interrupt() -> None:
    """End this process by the signal of an interrupt, as Python does, so that its caller sees it."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGINT)


def _hide_recorder(error: BaseException | None) -> None:
    """Take the frames of the recorder out of the tracebacks of an exception and of those that led to it."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        frames = [frame for frame in _frames(one.__traceback__) if not _is_recorder(frame.tb_frame.f_code.co_filename)]
        for frame, following in zip(frames, [*frames[1:], None], strict=True):
            frame.tb_next = following
        one.__traceback__ = frames[0] if frames else None
        waiting += [one.__cause__, one.__context__]


def _frames(traceback: TracebackType | None) -> Iterator[TracebackType]:
    while traceback is not None:
        yield traceback
        traceback = traceback.tb_next


def _is_recorder(file: str) -> bool:
    return Path(file).is_relative_to(_CASAPROV)
