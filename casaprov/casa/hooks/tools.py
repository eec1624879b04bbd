"""Wrappers around the tools of CASA, for changes without any task: ``tb.putcol``, ``ia.putchunk``, ``ms.putdata``.

One activity stands for all writes of a tool to its open table or image, from the first write to its ``close()``, to the
next task or to the end of the cell: a loop over ten thousand ``putcell`` is one record, and its table is digested once.
Writes of tools inside of a task or of ``casaprov.activity`` belong to that call.
"""

from __future__ import annotations

import functools
import inspect
import os
import re
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol
from weakref import ReferenceType, WeakKeyDictionary

from casaprov.casa.hooks.tool_table import Later, ToolSpec, load_tools
from casaprov.files.kinds import is_table
from casaprov.tasks.calls import FileTable, TaskCall, TaskFailed, TaskResult, error_text
from casaprov.tasks.pathnames import absolute, strings
from casaprov.tasks.specs import FileUse, guess_inputs

if TYPE_CHECKING:
    from casaprov.recording.open_call import OpenCall

__all__ = ["TOOL_PACKAGE", "ToolHook"]

TOOL_PACKAGE = "casatools"


class Recording(Protocol):
    """Records the activities of tools."""

    @property
    def busy(self) -> bool:
        """True while a task or another activity runs in this thread or asyncio task."""
        ...

    def begin(self, call: TaskCall, files: FileTable | None, *, by_tool: bool = False) -> OpenCall | None:
        """Record the begin of an activity; return None if it is not recorded."""
        ...

    def end(self, open_call: OpenCall, result: TaskResult) -> None:
        """Record the end of an activity."""
        ...


# https://casacore.github.io/casacore-notes/199.html
_TAQL_WRITES = re.compile(
    r"\s*(?:update|insert\s+into|delete\s+from|alter\s+table)\s+(?P<table>'[^']+'|\"[^\"]+\"|\S+)", re.IGNORECASE
)
_TAQL_READS = re.compile(r"\b(?:from|join)\s+('[^']+'|\"[^\"]+\"|[^\s,;()]+)", re.IGNORECASE)
_QUOTED = re.compile(r"'([^']+)'|\"([^\"]+)\"")


@dataclass(frozen=True)
class _Noted:
    """Files that a method named for other methods."""

    method: str
    later: Later
    reads: tuple[Path, ...]
    makes: tuple[Path, ...]


class _Batch:
    """The writes of one tool since the first, and the files of their record."""

    def __init__(self, changed: Path | None, read: Collection[Path]) -> None:
        self.changed = changed
        self.read = read
        self.made: list[Path] = []
        self.calls: Counter[str] = Counter()
        self.error: BaseException | None = None

    def inputs(self, _parameters: Mapping[str, Any], _cwd: Path) -> tuple[FileUse, ...]:
        """Return the open table or image, and the files that are read."""
        changed = (FileUse("changed", "open", self.changed),) if self.changed is not None else ()
        return (*changed, *(FileUse("used", "read", path) for path in self.read))

    def outputs(self, _parameters: Mapping[str, Any], _cwd: Path) -> tuple[FileUse, ...]:
        """Return the files that were made so far."""
        return tuple(FileUse("generated", None, path) for path in self.made if path.exists())


class ToolHook:
    """Puts wrappers around the writing methods of casatools and takes them out again."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._process = os.getpid()
        self._lock = threading.RLock()
        self._open: dict[int, Path] = {}
        self._noted: dict[int, list[_Noted]] = {}  # by tool: files that other methods will read or make
        # A tool that the user drops closes its table: no strong reference to it here.
        self._rows: WeakKeyDictionary[Any, ReferenceType[Any]] = WeakKeyDictionary()
        # A tool with a part of a table, which may have a name that is no file: the tables that the part is of.
        self._parts_of: WeakKeyDictionary[Any, tuple[Path, ...]] = WeakKeyDictionary()
        self._batches: dict[int, tuple[ReferenceType[Any], str, _Batch, OpenCall]] = {}
        self._undo: list[Callable[[], None]] = []

    def install(self, package: ModuleType) -> None:
        """Wrap the tools of the package ``casatools``."""
        for name, tool in load_tools().items():
            kind = getattr(package, name, None)
            if not isinstance(kind, type) or any(_is_wrapped(kind, method) for method in tool.methods):
                continue
            for method in tool.opens:
                self._wrap(kind, method, functools.partial(self._opening, tool))
            if name == "table":
                self._wrap(kind, "row", self._lending)
                self._wrap(getattr(package, "tablerow", object), "put", self._putting)
            for method in ("close", "done"):
                self._wrap(kind, method, self._closing)
            for method in tool.methods - tool.opens - {"close", "done"}:
                self._wrap(kind, method, functools.partial(self._writing, tool))

    def remove(self) -> None:
        """Restore every wrapped method."""
        self.settle()
        while self._undo:
            self._undo.pop()()

    def settle(self) -> None:
        """End the record of every tool that wrote; its next write begins a new one."""
        with self._lock:
            for key in tuple(self._batches):
                self._end(key)

    # -- parts ---------------------------------------------------------------

    def _wrap(self, kind: type, method: str, around: Callable[..., Any]) -> None:
        original = kind.__dict__.get(method)
        if original is None:  # another version of CASA
            return

        @functools.wraps(original)
        def wrapped(tool: Any, *args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            if os.getpid() != self._process:  # a fork has no journal of its own
                return original(tool, *args, **kwargs)
            return around(original, tool, args, kwargs)

        wrapped.__casaprov__ = True  # type: ignore[attr-defined]
        setattr(kind, method, wrapped)
        self._undo.append(lambda: setattr(kind, method, original))

    def _opening(
        self, tool: ToolSpec, original: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        with self._lock:
            self._end(id(instance))
        method = original.__name__
        if not tool.names:
            first = args[0] if args else next(iter(kwargs.values()), "")
            with suppress(OSError):  # the working directory was removed
                self._open[id(instance)] = absolute(str(first), Path.cwd())
        if method in tool.changes or method in tool.makes:
            return self._writing(tool, original, instance, args, kwargs)
        if method in tool.forgets:
            self._noted.pop(id(instance), None)
        return original(instance, *args, **kwargs)

    def _closing(self, original: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        try:
            return original(instance, *args, **kwargs)
        finally:
            with self._lock:
                self._end(id(instance), closed=True)
                self._open.pop(id(instance), None)
                self._noted.pop(id(instance), None)
                for row in [row for row, table in self._rows.items() if table() is instance]:
                    del self._rows[row]

    def _writing(
        self, tool: ToolSpec, original: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        batch = self._batch(tool, original, instance, args, kwargs)
        try:
            result = original(instance, *args, **kwargs)
            if original.__name__ in tool.derived and type(result) is type(instance):
                self._note_part(tool, original, instance, result, args, kwargs)
            if batch is not None and tool.flush and type(result) is type(instance):
                with suppress(Exception):  # the result is a tool that has the new file open, perhaps for long
                    getattr(result, tool.flush)()
            return result
        except BaseException as error:
            if batch is not None:  # not the error itself, whose traceback leads back here and keeps the tool alive
                interrupted = isinstance(error, KeyboardInterrupt)
                failure = KeyboardInterrupt() if interrupted else TaskFailed(type(error).__name__, error_text(error))
                self._fail(batch, tool, original, instance, args, kwargs, failure)
            raise

    def _fail(
        self,
        batch: _Batch,
        tool: ToolSpec,
        original: Any,
        instance: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        failure: BaseException,
    ) -> None:
        """End a record with a call that failed; calls before it, which did not, get a record of their own."""
        with self._lock, suppress(Exception):  # a recorder failure never replaces the error
            arguments = _arguments(original, instance, args, kwargs)
            batch.calls[_short_form(original.__name__, arguments)] -= 1
            batch.calls += Counter()  # without those that are zero
            if batch.calls:
                self._end(id(instance))
                again = self._batch(tool, original, instance, args, kwargs)
                if again is None:
                    return
                batch = again
            else:
                batch.calls[_short_form(original.__name__, arguments)] += 1
            batch.error = failure
            self._end(id(instance))

    def _note_part(
        self,
        tool: ToolSpec,
        original: Any,
        instance: Any,
        result: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        """Remember which tables a tool has a part of."""
        with suppress(Exception):  # a recorder failure never breaks a cell
            if original.__name__ == "taql":
                command = str(_arguments(original, instance, args, kwargs).get("taqlcommand", ""))
                named = (absolute(text.strip("'\""), Path.cwd()) for text in _TAQL_READS.findall(command))
                tables = tuple(path for path in map(_whole, named) if path is not None and is_table(path))
            else:
                tables = self._products(tool, instance)
            self._parts_of[result] = tables

    def _batch(
        self, tool: ToolSpec, original: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> _Batch | None:
        """Return the record that a call belongs to, begun if needed; None if it is not recorded."""
        if self._recording.busy:
            return None
        try:
            method = original.__name__
            arguments = _arguments(original, instance, args, kwargs)
            if method in tool.forgets:
                self._noted.pop(id(instance), None)
            if method in tool.later:
                self._note(tool.later[method], method, instance, arguments)
            noted = [one for one in self._noted.get(id(instance), ()) if method in one.later.acting]
            made = [path for name in tool.makes.get(method, ()) for path in _paths(arguments.get(name))]
            made += [path for one in noted for path in one.makes]
            changed = None
            if method == "taql":
                changed = _whole(_updated(str(arguments.get("taqlcommand", ""))))
            elif method in tool.changes:
                changed = next(iter(self._products(tool, instance)), None)
            if changed is None and not made:
                return None
            read = self._read(tool, instance, method, arguments) - {changed, *made}
            read |= {path for one in noted for path in one.reads if path.exists()}
            with self._lock:
                batch = self._begun(tool, method, instance, changed, read)
                batch.calls[_short_form(method, arguments)] += 1
                batch.made += made
                return batch
        except Exception:  # noqa: BLE001 - a recorder failure never breaks a cell
            return None

    def _note(self, later: Later, method: str, instance: Any, arguments: Mapping[str, Any]) -> None:
        """Remember files that a method names for others; a product that is named again replaces the first."""
        reads = [path for name in later.reads for path in _paths(arguments.get(name))]
        makes = [path for name in later.makes for path in _paths(arguments.get(name))]
        if arguments.get("mode") == "table":
            reads, makes = [*reads, *makes], []
        before = self._noted.get(id(instance), [])
        if makes:
            before = [one for one in before if one.method != method]
        self._noted[id(instance)] = [*before, _Noted(method, later, tuple(reads), tuple(makes))]

    def _read(self, tool: ToolSpec, instance: Any, method: str, arguments: Mapping[str, Any]) -> set[Path]:
        """Return the files that a method reads: those that parameters name, and the open one if it makes another."""
        made = tool.makes.get(method, ())
        names = {*tool.reads.get(method, ()), *(arguments.keys() - made if made else ())} - {"self"}
        texts = [text for name in names for text in strings(arguments.get(name))]
        named = [*texts, *(a or b for text in texts for a, b in _QUOTED.findall(text))]
        found = {_whole(use.path) for use in guess_inputs({"": named}, Path.cwd())} if named else set()
        if method not in tool.anew and (made or method in tool.acting):
            found.update(self._products(tool, instance))
        return {path for path in found if path is not None}

    def _begun(
        self, tool: ToolSpec, method: str, instance: Any, changed: Path | None, read: Collection[Path]
    ) -> _Batch:
        key = id(instance)
        if key in self._batches:
            ref, _, batch, _ = self._batches[key]
            goes_on = (ref() is instance and changed in (None, batch.changed)) or changed in batch.made
            if method in tool.anew and (batch.changed, batch.read) != (None, read):
                goes_on = False  # its product does not depend on the files that the batch has read
            if goes_on and all(path in batch.read or path in batch.made or path == batch.changed for path in read):
                return batch
            self._end(key)
        batch = _Batch(changed, read)
        parameters: dict[str, Any] = {"open": str(changed)} if changed is not None else {}
        parameters |= {"read": sorted(map(str, read))} if read else {}
        call = TaskCall(
            task=f"{tool.name}.{method}",
            package=TOOL_PACKAGE,
            parameters=parameters,
            given=tuple(parameters),
            cwd=Path.cwd(),
        )
        open_call = self._recording.begin(call, batch, by_tool=True)
        if open_call is not None:
            self._batches[key] = (weakref.ref(instance), tool.flush, batch, open_call)
        return batch

    def _products(self, tool: ToolSpec, instance: Any) -> tuple[Path, ...]:
        """Return the table or image that a tool has open, or the tables that it has a part of."""
        if tool.derived and instance in self._parts_of:
            return self._parts_of[instance]
        if not tool.names:
            found = _whole(self._open.get(id(instance)))
        else:
            # The image tool returns only the last part of the path by default.
            found = _whole(Path(instance.name(strippath=False) if tool.name == "image" else instance.name()))
        return () if found is None else (found,)

    def _lending(self, original: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Remember the table of a row object: rows from ``tb.row()`` write to the table."""
        row = original(instance, *args, **kwargs)
        self._rows[row] = weakref.ref(instance)
        return row

    def _putting(self, original: Any, row: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        lender = self._rows.get(row)
        table = lender() if lender is not None else None
        if table is not None:
            self._batch(load_tools()["table"], original, table, args, kwargs)
        return original(row, *args, **kwargs)

    def _end(self, key: int, *, closed: bool = False) -> None:
        if key not in self._batches:
            return
        ref, flush, batch, open_call = self._batches.pop(key)
        if flush and not closed:
            with suppress(Exception):  # a tool that is closed or gone has nothing to write
                getattr(ref(), flush)()
        parameters = {**open_call.activity.parameters, "calls": dict(batch.calls)}
        self._recording.end(open_call.with_parameters(parameters), TaskResult(error=batch.error))


def _is_wrapped(kind: type, method: str) -> bool:
    return hasattr(kind.__dict__.get(method), "__casaprov__")


def _paths(value: Any) -> list[Path]:
    """Return the files that the value of a parameter names."""
    return [absolute(text, Path.cwd()) for text in strings(value) if text and "\0" not in text]


def _whole(path: Path | None) -> Path | None:
    """Return the product that a path belongs to: for a sub-table, the table."""
    if path is None or not path.is_absolute():
        return None
    while is_table(path.parent):
        path = path.parent
    return path


def _updated(command: str) -> Path | None:
    """Return the table that a TaQL command changes; None if it changes none."""
    found = _TAQL_WRITES.match(command)
    path = absolute(found["table"].strip("'\""), Path.cwd()) if found else None
    return path if path is not None and is_table(path) else None


def _arguments(method: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    try:
        return dict(inspect.signature(method).bind(instance, *args, **kwargs).arguments)
    except TypeError:  # the tool itself raises an error that names the mistake
        return dict(kwargs)


def _short_form(method: str, arguments: Mapping[str, Any]) -> str:
    """Return a call in short: its method and the column, keyword or file that it names."""
    named = ("columnname", "oldname", "keyword", "tablename", "newtablename", "outfile", "outputms", "infile", "pixels")
    first = next((str(arguments[name]) for name in named if isinstance(arguments.get(name), str)), "")
    return f"{method}({first})"
