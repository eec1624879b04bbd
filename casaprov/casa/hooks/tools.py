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
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol
from weakref import ReferenceType, WeakKeyDictionary

from casaprov.files.kinds import is_table
from casaprov.tasks.calls import FileTable, TaskCall, TaskFailed, TaskResult, error_text
from casaprov.tasks.pathnames import absolute
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


@dataclass(frozen=True)
class _Tool:
    """Effects of the methods of one tool.

    Attributes
    ----------
    changes
        Methods that change the open table or image; ``open`` itself may add columns.
    makes
        Methods that make files, with the parameters that name the files. An empty parameter names none.
    flush
        Method that writes all changes so far to disk.
    names
        True if ``name()`` returns the open table or image; else it is known from the call that opened it.
    opens
        Methods that open the table or image named by their first parameter.
    """

    changes: str
    makes: Mapping[str, str] = field(default_factory=dict)
    flush: str = ""
    names: bool = False
    opens: str = "open"


# https://casacore.github.io/casacore-notes/199.html
_TAQL_WRITES = re.compile(
    r"\s*(?:update|insert\s+into|delete\s+from|alter\s+table)\s+(?P<table>'[^']+'|\"[^\"]+\"|\S+)", re.IGNORECASE
)
_OUTFILE = (
    "adddegaxes boxcar collapse continuumsub convolve convolve2d crop decimate fitprofile fromarray fromfits fromimage "
    "fromrecord fromshape getregion hanning imageconcat imagecalc maketestimage makecomplex moments newimagefromarray "
    "newimagefromfits newimagefromimage newimagefromshape pad pbcor pv rebin regrid rotate sepconvolve subimage transpose"
)
_TOOLS: Mapping[str, _Tool] = {
    "table": _Tool(
        changes="addcols addreadmeline addrows put putcell putcellslice putcol putcolkeyword putcolkeywords putcolslice "
        "putinfo putkeyword putkeywords putvarcol removecolkeyword removecols removekeyword removerows renamecol taql",
        makes={
            "copy": "newtablename",
            "copyrows": "outtable",
            "create": "tablename",
            "createmultitable": "outputTableName",
            "fromascii": "tablename",
            "fromASDM": "tablename",
            "fromfits": "tablename",
            "query": "name",
            "selectrows": "name",
            "toasciifmt": "asciifile",
        },
        flush="flush",
        names=True,
    ),
    "image": _Tool(
        changes="addnoise calc calcmask insert maskhandler modify putchunk putregion replacemaskedpixels rename "
        "rotatebeam set setbrightnessunit setcoordsys sethistory setmiscinfo setrestoringbeam",
        makes={**dict.fromkeys(_OUTFILE.split(), "outfile"), "fft": "real imag amp phase complex", "tofits": "outfile"},
        flush="unlock",
        names=True,
    ),
    "ms": _Tool(
        changes="addephemeris concatenate continuumsub contsub createmultims cvel hanningsmooth oldstatwt putdata "
        "regridspw statwt timesort uvsub virtconcatenate writehistory writehistory_batch",
        makes={
            "fromfits": "msfile",
            "fromfitsidi": "msfile",
            "lister": "listfile",
            "partition": "outputms",
            "split": "outputms",
            "summary": "listfile",
            "tofits": "fitsfile",
        },
        names=True,
    ),
    "calibrater": _Tool(changes="open corrupt correct delmod initcalset initweights setptmodel"),
    "agentflagger": _Tool(changes="deleteflagversion restoreflagversion run saveflagversion"),
    "imager": _Tool(changes="open calcuvw clipvis fixvis ft setjy", makes={"makeimage": "image"}),
    "simulator": _Tool(changes="corrupt observe observemany predict", opens="open openfromms"),
    "componentlist": _Tool(changes="", makes={"rename": "filename", "asciitocomponentlist": "filename"}),
}


# Methods that make a file of the things that their parameters name, not of the open one.
_MAKES_ANEW = re.compile("from|newimagefrom|make|create|imagecalc|asciito")
_EXPRESSIONS = ("infile", "pixels")
"""Parameters in which other images are named; methods that change the open image have them too."""
_QUOTED = re.compile(r"'([^']+)'|\"([^\"]+)\"")


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
        # A tool that the user drops closes its table: no strong reference to it here.
        self._rows: WeakKeyDictionary[Any, ReferenceType[Any]] = WeakKeyDictionary()
        self._batches: dict[int, tuple[ReferenceType[Any], str, _Batch, OpenCall]] = {}
        self._undo: list[Callable[[], None]] = []

    def install(self, package: ModuleType) -> None:
        """Wrap the tools of the package ``casatools``."""
        for name, tool in _TOOLS.items():
            kind = getattr(package, name, None)
            if not isinstance(kind, type) or self._undo_holds(kind):
                continue
            for method in tool.opens.split():
                self._wrap(kind, method, functools.partial(self._opening, name, tool))
            if name == "table":
                self._wrap(kind, "row", self._lending)
                self._wrap(getattr(package, "tablerow", object), "put", self._putting)
            for method in ("close", "done"):
                self._wrap(kind, method, self._closing)
            writing = (m for m in (*tool.changes.split(), *tool.makes) if m not in tool.opens.split())
            for method in dict.fromkeys(writing):
                self._wrap(kind, method, functools.partial(self._writing, name, tool))

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

    def _undo_holds(self, kind: type) -> bool:
        return hasattr(kind.__dict__.get("close"), "__casaprov__")

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
        self, name: str, tool: _Tool, original: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        with self._lock:
            self._end(id(instance))
        if not tool.names:
            first = args[0] if args else next(iter(kwargs.values()), "")
            with suppress(OSError):  # the working directory was removed
                self._open[id(instance)] = absolute(str(first), Path.cwd())
        if original.__name__ in tool.changes.split():
            return self._writing(name, tool, original, instance, args, kwargs)
        return original(instance, *args, **kwargs)

    def _closing(self, original: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        try:
            return original(instance, *args, **kwargs)
        finally:
            with self._lock:
                self._end(id(instance), closed=True)
                self._open.pop(id(instance), None)
                for row in [row for row, table in self._rows.items() if table() is instance]:
                    del self._rows[row]

    def _writing(
        self, name: str, tool: _Tool, original: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        batch = self._batch(name, tool, original, instance, args, kwargs)
        try:
            result = original(instance, *args, **kwargs)
            if batch is not None and tool.flush and type(result) is type(instance):
                with suppress(Exception):  # the result is a tool that has the new file open, perhaps for long
                    getattr(result, tool.flush)()
            return result
        except BaseException as error:
            if batch is not None:  # not the error itself, whose traceback leads back here and keeps the tool alive
                interrupted = isinstance(error, KeyboardInterrupt)
                batch.error = (
                    KeyboardInterrupt() if interrupted else TaskFailed(type(error).__name__, error_text(error))
                )
            raise

    def _batch(
        self, name: str, tool: _Tool, original: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> _Batch | None:
        """Return the record that a call belongs to, begun if needed; None if it is not recorded."""
        if self._recording.busy:
            return None
        try:
            method = original.__name__
            arguments = _arguments(original, instance, args, kwargs)
            made = [str(arguments[p]) for p in tool.makes.get(method, "").split() if arguments.get(p)]
            changed = None
            if method == "taql":
                changed = _whole(_updated(str(arguments.get("taqlcommand", ""))))
            elif method in tool.changes.split():
                changed = self._product(tool, instance)
            if changed is None and not made:
                return None
            read = self._read(tool, instance, method, arguments) - {changed}
            with self._lock:
                batch = self._begun(name, method, instance, changed, read)
                batch.calls[_short_form(method, arguments)] += 1
                batch.made += [absolute(text, Path.cwd()) for text in made]
                return batch
        except Exception:  # noqa: BLE001 - a recorder failure never breaks a cell
            return None

    def _read(self, tool: _Tool, instance: Any, method: str, arguments: Mapping[str, Any]) -> set[Path]:
        """Return the files that a method reads: the open one, and those named by parameters that name no product."""
        made = tool.makes.get(method, "").split()
        names = arguments.keys() - made if made else _EXPRESSIONS
        texts = [text for name in names if isinstance(text := arguments.get(name), str)]
        named = [*texts, *(a or b for text in texts for a, b in _QUOTED.findall(text))]
        found = {_whole(use.path) for use in guess_inputs({"": named}, Path.cwd())} if named else set()
        if made and not _MAKES_ANEW.match(method):
            found.add(self._product(tool, instance))
        return {path for path in found if path is not None}

    def _begun(self, name: str, method: str, instance: Any, changed: Path | None, read: Collection[Path]) -> _Batch:
        key = id(instance)
        if key in self._batches:
            ref, _, batch, _ = self._batches[key]
            goes_on = (ref() is instance and changed in (None, batch.changed)) or changed in batch.made
            if _MAKES_ANEW.match(method) and (batch.changed, batch.read) != (None, read):
                goes_on = False  # its product does not depend on the files that the batch has read
            if goes_on and all(path in batch.read or path in batch.made or path == batch.changed for path in read):
                return batch
            self._end(key)
        batch = _Batch(changed, read)
        parameters: dict[str, Any] = {"open": str(changed)} if changed is not None else {}
        parameters |= {"read": sorted(map(str, read))} if read else {}
        call = TaskCall(
            task=f"{name}.{method}",
            package=TOOL_PACKAGE,
            parameters=parameters,
            given=tuple(parameters),
            cwd=Path.cwd(),
        )
        open_call = self._recording.begin(call, batch, by_tool=True)
        if open_call is not None:
            self._batches[key] = (weakref.ref(instance), _TOOLS[name].flush, batch, open_call)
        return batch

    def _product(self, tool: _Tool, instance: Any) -> Path | None:
        """Return the table or image that a tool has open."""
        if not tool.names:
            return _whole(self._open.get(id(instance)))
        # The image tool returns only the last part of the path by default.
        name = instance.name(strippath=False) if tool is _TOOLS["image"] else instance.name()
        return _whole(Path(name))

    def _lending(self, original: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Remember the table of a row object: rows from ``tb.row()`` write to the table."""
        row = original(instance, *args, **kwargs)
        self._rows[row] = weakref.ref(instance)
        return row

    def _putting(self, original: Any, row: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        lender = self._rows.get(row)
        table = lender() if lender is not None else None
        if table is not None:
            self._batch("table", _TOOLS["table"], original, table, args, kwargs)
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
