"""Make calls with odd parameters, one for each line of the input; say of each how it ended.

A process of its own, with recording or without: ``odd_calls.py recorded|plain FOLDER``.
A line is ``{"call": name, "values": {parameter: Python expression}}``.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

RECORDED = sys.argv[1] == "recorded"


class Odd:
    """An object, one of whose special methods raises."""

    def __init__(self, method: str) -> None:
        self.method = method

    def _raise(self, method: str, otherwise: Any) -> Any:
        if self.method == method:
            raise RuntimeError(f"{method} on purpose")
        return otherwise

    def __repr__(self) -> str:
        return str(self._raise("__repr__", "Odd()"))

    def __str__(self) -> str:
        return str(self._raise("__str__", "Odd"))

    def __eq__(self, other: object) -> bool:
        return bool(self._raise("__eq__", self is other))

    def __hash__(self) -> int:
        return int(self._raise("__hash__", 7))

    def __len__(self) -> int:
        return int(self._raise("__len__", 2))

    def __bool__(self) -> bool:
        return bool(self._raise("__bool__", True))


class OddPath(Odd):
    """Likewise, of a path."""

    def __fspath__(self) -> str:
        return str(self._raise("__fspath__", "n.ms"))


class OddText(str):
    """A text that says of itself that it is another one."""

    __slots__ = ()

    def __str__(self) -> str:
        return "other"

    def __repr__(self) -> str:
        return "'another'"


class OddList(list[Any]):
    """A list that cannot be iterated."""

    def __iter__(self) -> Iterator[Any]:
        raise RuntimeError("__iter__ on purpose")


class OddAttributes:
    """An object that no attribute can be asked of."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(f"{name} on purpose")


class OddError(Exception):
    """An exception that cannot be printed."""

    def __str__(self) -> str:
        raise RuntimeError("__str__ on purpose")


def circular_list() -> list[Any]:
    """A list that is its own last member."""
    told: list[Any] = ["n.ms"]
    told.append(told)
    return told


def circular_dict() -> dict[str, Any]:
    """A dict that holds itself, twice."""
    told: dict[str, Any] = {"file": "n.ms"}
    told["self"] = [told, {"file": told}]
    told["file"] = told
    return told


def fingerprint(value: Any, above: tuple[int, ...] = ()) -> Any:
    """What `value` is, in words that do not depend on where it lies in memory; generators are used up."""
    kind = type(value).__name__
    if id(value) in above or len(above) > 6:
        return f"{kind}…"
    above = (*above, id(value))
    if isinstance(value, np.ndarray | np.generic):
        return [kind, str(value.dtype), list(value.shape), fingerprint(value.tolist(), above)]
    if isinstance(value, dict):
        return [kind, [[fingerprint(k, above), fingerprint(v, above)] for k, v in value.items()]]
    if kind == "generator" or type(value) in (list, tuple):
        return [kind, [fingerprint(member, above) for member in value]]
    if isinstance(value, Odd | OddAttributes | OddText | OddList):
        return kind
    return [kind, hex(value) if type(value) is int else normalised(repr(value))]


def normalised(text: str) -> str:
    """Take out addresses, times and where this process works."""
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "<time>", text.replace(str(Path.cwd()), "<folder>"))
    return re.sub(r"0x[0-9a-f]{6,}", "0x", text)


def unreadable(error: BaseException) -> str:
    """Text of an exception that may have none."""
    try:
        return normalised(str(error))
    except Exception:  # noqa: BLE001 - objects in it may refuse to be printed
        return "cannot be printed"


def echo(vis: Any, out: Any = None, how: Any = None) -> Any:
    """Return what was given."""
    return {"vis": vis, "out": out, "how": how}


def use_up(vis: Any, out: Any = None, how: Any = None) -> Any:
    """Iterate over what was given."""
    return [list(value) for value in (vis, out, how) if value is not None]


def refuse(vis: Any, out: Any = None, how: Any = None) -> Any:
    """Raise something with what was given in it."""
    if isinstance(how, str | OddText):
        raise OddError(vis, out, how)
    raise ValueError(vis, out)


class Streams:
    """What this process writes to its standard streams, C++ included."""

    def __init__(self, folder: Path) -> None:
        self.answers = os.fdopen(os.dup(1), "w")
        self._paths = [folder / f"{folder.name}.{name}" for name in ("out", "err")]
        for descriptor, path in enumerate(self._paths, start=1):
            file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_TRUNC)
            os.dup2(file, descriptor)
        self._read = [0, 0]

    def since(self) -> list[str]:
        """What was written since this was asked last."""
        sys.stdout.flush()
        sys.stderr.flush()
        told = []
        for number, path in enumerate(self._paths):
            text = path.read_bytes()
            told.append(normalised(text[self._read[number] :].decode(errors="replace")))
            self._read[number] = len(text)
        return told


def main() -> None:
    """Answer every line."""
    folder = Path(sys.argv[2])
    streams = Streams(folder.parent)
    os.chdir(folder)
    from IPython.core.interactiveshell import InteractiveShell

    from casaprov.casa.installed.data import prepare

    prepare()
    shell = InteractiveShell.instance()
    shell.history_manager.enabled = False
    calls: dict[str, Callable[..., Any]] = {f.__name__: f for f in (echo, use_up, refuse)}
    if RECORDED:
        shell.run_line_magic("load_ext", "casaprov")
        import casaprov

        calls = {name: casaprov.activity(used=["vis"], generated=["out"])(f) for name, f in calls.items()}
    import casatasks

    def call(request: dict[str, Any]) -> dict[str, Any]:
        values = {name: eval(text, globals()) for name, text in request["values"].items()}
        function = calls.get(request["call"]) or getattr(casatasks, request["call"])
        returned, error = None, None
        streams.since()
        try:
            returned = fingerprint(function(**values))
        except BaseException as raised:  # noqa: BLE001 - every outcome is compared
            error = [type(raised).__name__, unreadable(raised)]
        said = streams.since()
        return {"returned": returned, "error": error, "said": said, "values": fingerprint(values)}

    shell.user_ns["call"] = call
    for line in sys.stdin:
        shell.user_ns["request"] = json.loads(line)
        result = shell.run_cell("answer = call(request)", store_history=False)
        result.raise_error()
        answer = shell.user_ns["answer"]
        answer["after"] = streams.since()
        streams.answers.write(json.dumps(answer) + "\n")
        streams.answers.flush()
    if RECORDED:
        shell.run_line_magic("unload_ext", "casaprov")


main()
