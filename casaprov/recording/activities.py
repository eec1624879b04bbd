"""Activities that are no CASA tasks: functions, blocks of code and programs.

.. code-block:: python

    @casaprov.activity(used=["vis"], generated=["{vis}.flags.txt"])
    def find_bad_antennas(vis, threshold=5.0): ...

    with casaprov.activity("aoflagger", changed=["n.ms"], parameters={"strategy": "vla.lua"}):
        subprocess.run(["aoflagger", "-strategy", "vla.lua", "n.ms"], check=True)

Where nothing is recorded, both only run the code.
"""

from __future__ import annotations

import functools
import inspect
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from glob import glob, has_magic
from pathlib import Path
from types import TracebackType
from typing import Any, ParamSpec, Protocol, TypeVar, overload

from casaprov.errors import UsageError
from casaprov.records.values import summarise, to_json
from casaprov.tasks.calls import Executor, FileTable, TaskCall, TaskResult
from casaprov.tasks.pathnames import absolute, on_disk, strings
from casaprov.tasks.specs import FileUse, Role

__all__ = ["DeclaredFiles", "Recording", "activity", "attach"]

P = ParamSpec("P")
T = TypeVar("T")
Names = Sequence[str | os.PathLike[str]]

_log = logging.getLogger(__name__)

_MAX_PARAMETER_BYTES = 4000
_BLOCK = "__main__"  # the package of a block of code, as of functions of a notebook


class Recording(Protocol):
    """Recording of a process; a kernel has one."""

    def begin(self, call: TaskCall, files: FileTable | None) -> Any:
        """Record the begin of an activity; return an argument for :meth:`end`, None if it cannot be recorded."""
        ...

    def end(self, open_call: Any, result: TaskResult) -> None:
        """Record how an activity ended."""
        ...

    def compute(self, call: TaskCall, files: FileTable | None, executor: Executor) -> TaskResult | None:
        """Run a function under recording, or restore its results; None where the cache is off: it did not run."""
        ...


# The recording that an activity began with, and what its begin() returned; None if nothing is recorded.
_Begun = tuple[Recording, Any] | None
_recording: Recording | None = None


def attach(recording: Recording | None) -> None:
    """Record the activities of this process from now on; None ends that."""
    global _recording  # noqa: PLW0603 - one process, one recording
    _recording = recording


@dataclass(frozen=True)
class DeclaredFiles:
    """Files that an activity is declared to read and write.

    Attributes
    ----------
    changed, used, generated
        Paths, also with ``*``, ``?`` and ``[]``. In a string, ``{name}`` is
        replaced by the value of an argument. A string that is the name of an
        argument stands for the path or paths that are its value.
    arguments
        Arguments of the call, by name.
    """

    changed: Names = ()
    used: Names = ()
    generated: Names = ()
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for role in ("changed", "used", "generated"):
            names = getattr(self, role)
            if isinstance(names, str | os.PathLike):
                message = f"casaprov.activity: {role}={names!r} is one name, not a list."
                raise UsageError(message, hint=f"Write {role}=[{names!r}].")

    def inputs(self, _parameters: Mapping[str, Any], cwd: Path) -> tuple[FileUse, ...]:
        """Return the existing files that are read or changed."""
        return (*self._uses("changed", self.changed, cwd), *self._uses("used", self.used, cwd))

    def outputs(self, _parameters: Mapping[str, Any], cwd: Path) -> tuple[FileUse, ...]:
        """Return the existing files that may have been made."""
        return self._uses("generated", self.generated, cwd)

    def _uses(self, role: Role, names: Names, cwd: Path) -> tuple[FileUse, ...]:
        found: dict[Path, FileUse] = {}
        for name in names:
            parameter = str(name) if name in self.arguments else None
            if parameter is None:
                texts = [_filled(text, self.arguments) for text in strings(name)]
            else:
                texts = list(strings(self.arguments[parameter], everywhere=True))
            for path in (path for text in texts for path in _paths(text, cwd)):
                found.setdefault(path, FileUse(role, parameter, path))
        return tuple(found.values())


def _filled(text: str, parameters: Mapping[str, Any]) -> str:
    try:
        return text.format_map(parameters)
    except Exception:  # noqa: BLE001 - the name contains a brace, or an argument cannot be printed
        return text


def _paths(text: str, cwd: Path) -> Iterator[Path]:
    if "\0" in text:
        return
    path = absolute(text, cwd)
    if on_disk(path):
        yield path
    elif has_magic(text):
        yield from (Path(found) for found in sorted(glob(str(path))))  # noqa: PTH207 - absolute patterns


class _Activity:
    """Declaration of an activity: a context manager for a block, and a decorator for a function."""

    def __init__(self, name: str, files: DeclaredFiles, parameters: Mapping[str, Any], *, cache: bool = False) -> None:
        self._name = name
        self._cache = cache
        self._files = files
        self._parameters = parameters
        self._begun: list[_Begun] = []  # a block may be entered again before it is left

    def __enter__(self) -> None:
        if not self._name:
            raise UsageError("casaprov.activity: a block needs a name.", hint="Write: with casaprov.activity('name'):")
        if self._cache:
            raise UsageError("casaprov.activity: a block is never restored.", hint="Use cache=True with a function.")
        self._begun.append(self._begin(self._name, _BLOCK, {}))

    def __exit__(self, _type: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._end(self._begun.pop(), TaskResult(error=error))

    def __call__(self, function: Callable[P, T]) -> Callable[P, T]:
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            message = (
                f"casaprov.activity: {function.__qualname__} is a generator, which does not run when it is called."
            )
            raise UsageError(message, hint="Record the loop instead: with casaprov.activity('name'):")
        if inspect.iscoroutinefunction(function):
            if self._cache:
                raise UsageError(
                    f"casaprov.activity: {function.__qualname__} is a coroutine, which is never restored.",
                    hint="Leave cache=True out.",
                )

            @functools.wraps(function)
            async def awaited(*args: P.args, **kwargs: P.kwargs) -> Any:
                with self._recorded(function, args, kwargs) as returned:
                    returned.append(await function(*args, **kwargs))
                return returned[0]

            return awaited  # type: ignore[return-value]

        @functools.wraps(function)
        def called(*args: P.args, **kwargs: P.kwargs) -> T:
            result = self._computed(function, args, kwargs) if self._cache else None
            if result is not None:
                try:
                    if result.error is not None:
                        raise result.error
                    computed: T = result.returned
                    return computed
                finally:
                    del result  # see :class:`casaprov.tasks.calls.TaskResult`
            with self._recorded(function, args, kwargs) as returned:
                returned.append(function(*args, **kwargs))
            value: T = returned[0]
            return value

        return called

    @contextmanager
    def _recorded(
        self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Iterator[list[Any]]:
        """Record a call; the code inside puts the returned value into the list."""
        begun = self._begin_call(function, args, kwargs)
        returned: list[Any] = []
        try:
            yield returned
        except BaseException as error:
            self._end(begun, TaskResult(error=error))
            raise
        self._end(begun, TaskResult(returned=returned[0]))

    def _computed(
        self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> TaskResult | None:
        """Run a call under recording, or restore its results; None if neither happened: then it has to be called."""
        recording, bound = _recording, self._bound(function, args, kwargs)
        if recording is None or bound is None:
            return None
        executor = _FunctionCall(lambda: function(*args, **kwargs))
        try:
            from casaprov.tasks.function_code import code_of  # loaded where it is used

            call, declared = self._call(*bound)
            files = self._files
            names = [[str(name) for name in names] for names in (files.used, files.changed, files.generated)]
            code = code_of(function, {**self._parameters, **bound[2]}, names)
            return recording.compute(replace(call, code=code), declared, executor)
        except Exception:  # noqa: BLE001 - a recorder failure never breaks a cell
            _log.info("%s is not looked up", self._name, exc_info=True)
            return executor.result

    def _begin_call(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Begun:
        bound = self._bound(function, args, kwargs)
        return None if bound is None else self._begin(*bound)

    def _bound(
        self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[str, str, Mapping[str, Any], tuple[str, ...]] | None:
        """Return name, package, arguments and names of the given arguments of a call; None if they do not fit."""
        try:
            bound = inspect.signature(function).bind(*args, **kwargs)
        except TypeError:  # Python says so when the function is called
            return None
        given = tuple(bound.arguments)
        bound.apply_defaults()
        name = self._name or function.__qualname__.rpartition("<locals>.")[2]
        return name, function.__module__ or _BLOCK, bound.arguments, given

    def _begin(self, name: str, package: str, arguments: Mapping[str, Any], given: tuple[str, ...] = ()) -> _Begun:
        recording = _recording
        if recording is None:
            return None
        try:
            call, declared = self._call(name, package, arguments, given)
            return recording, recording.begin(call, declared)
        except Exception:  # noqa: BLE001 - a recorder failure never breaks a cell
            _log.info("%s is not recorded", name, exc_info=True)
            return None

    def _call(
        self, name: str, package: str, arguments: Mapping[str, Any], given: tuple[str, ...]
    ) -> tuple[TaskCall, DeclaredFiles | None]:
        files, values = self._files, {**self._parameters, **arguments}
        call = TaskCall(
            task=name,
            package=package,
            parameters={key: summarise(to_json(value), _MAX_PARAMETER_BYTES) for key, value in values.items()},
            given=(*self._parameters, *given),
            cwd=Path.cwd(),
        )
        return call, replace(files, arguments=values) if files.changed or files.used or files.generated else None

    @staticmethod
    def _end(begun: _Begun, result: TaskResult) -> None:
        if begun is not None and begun[1] is not None:
            recording, open_call = begun
            recording.end(open_call, result)


class _FunctionCall:
    """Runs a function in this process, and returns its error as a result."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function
        self.result: TaskResult | None = None

    def run(self, _call: TaskCall) -> TaskResult:
        """Run the function."""
        try:
            self.result = TaskResult(returned=self._function())
        except BaseException as error:  # noqa: BLE001 - KeyboardInterrupt is an outcome too; the caller raises it again
            self.result = TaskResult(error=error)
        return self.result


@overload
def activity(name: Callable[P, T], /) -> Callable[P, T]: ...
@overload
def activity(
    name: str = "",
    /,
    *,
    used: Names = (),
    changed: Names = (),
    generated: Names = (),
    parameters: Mapping[str, Any] | None = None,
    cache: bool = False,
) -> _Activity: ...
def activity(
    name: str | Callable[..., Any] = "",
    /,
    *,
    used: Names = (),
    changed: Names = (),
    generated: Names = (),
    parameters: Mapping[str, Any] | None = None,
    cache: bool = False,
) -> Any:
    """Record a function or a block of code like a task: as a decorator or in a ``with`` statement.

    Parameters
    ----------
    name
        Name in the record; by default that of the function.
    used, changed, generated
        Names of files that it reads, changes in place, and makes; see
        :class:`DeclaredFiles`. Without any, the files that parameters name
        count as files that it may change. Changes in the working directory
        are noticed in either case.
    parameters
        Further values to record, by name.
    cache
        Restore the results of a function like those of a task, where the cache is on: it depends on nothing but its
        code, its arguments and the files that it declares, and it makes nothing but those and its return value.

    Raises
    ------
    UsageError
        If it cannot be used in this way; the hint says how it can.

    Examples
    --------
    >>> @casaprov.activity(used=["vis"], generated=["{vis}.png"])
    ... def plot_uv(vis): ...
    >>> with casaprov.activity("wsclean", used=["n.ms"], generated=["n-*.fits"]):
    ...     subprocess.run(["wsclean", "-name", "n", "n.ms"], check=True)
    """
    declared, parameters = DeclaredFiles(changed, used, generated), parameters or {}
    if callable(name):
        return _Activity("", declared, parameters)(name)
    if not isinstance(name, str):
        raise UsageError(f"casaprov.activity: {name!r} is no name.", hint="Write: with casaprov.activity('name'):")
    return _Activity(name, declared, parameters, cache=cache)
