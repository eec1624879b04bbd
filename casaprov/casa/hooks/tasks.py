"""Wrappers around CASA tasks, through which every call is recorded, however it is made.

A casatasks module ``casatasks.gaincal`` holds a class ``_gaincal``, whose only instance users call, and the function
``_gaincal_t``, which does the work with validated, coerced parameters. Two thin wrappers go in. The one around
``_gaincal_t`` sees the final parameters, under any name that the user gave the task. Only the one around
``_gaincal.__call__`` can tell given parameters from defaults, and sees calls that CASA's validation refuses.
Signatures, docstrings and identities stay as they are.

The modules of casashell (:mod:`casaprov.casa.hooks.shell`) are built alike, around the same task functions: a call in
the CASA shell is recorded as one of casatasks.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from casaprov.casa.hooks.shell import given_in_shell, shell_modules, shell_task
from casaprov.casa.installed.log import log_offset, log_since, place_log
from casaprov.casa.plots.appimages import PLOT_PACKAGES, PLOT_TASKS
from casaprov.records.values import to_json
from casaprov.tasks.calls import TaskCall, TaskResult
from casaprov.tasks.failures import note_failure

__all__ = ["TASK_PACKAGES", "FunctionExecutor", "TaskHook", "hooked_modules", "task_names"]

TASK_PACKAGES = ("casatasks", *PLOT_PACKAGES)
"""Packages whose tasks are recorded and replayed."""

_SHELL_OF_GUI = {f"{package}.gotasks.{task}": (task, package) for task, package in PLOT_TASKS.items()}

Run = Callable[[TaskCall, "FunctionExecutor"], TaskResult]


def task_names(package: ModuleType) -> tuple[str, ...]:
    """Return the names of the tasks that a package such as ``casatasks`` exports."""
    found = ((name, sys.modules.get(f"{package.__name__}.{name}")) for name in package.__all__)
    return tuple(name for name, module in found if _task_class(module, name) or _gui_class(module, name))


def hooked_modules() -> tuple[str, ...]:
    """Return the names of the modules for :meth:`TaskHook.install`, each to be handed over once it is imported."""
    return (*TASK_PACKAGES, *shell_modules(), *_SHELL_OF_GUI)


@dataclass
class _UserCall:
    """Facts about a call that the public call knows and the task function does not."""

    task: str
    given: tuple[str, ...]
    log_from: int
    reached: bool = False


class _Task:
    """A task, as its wrappers know it.

    Parameters
    ----------
    call
        The method by which users call it.
    in_shell
        True for a task of the CASA shell, which takes its parameters from global variables.

    Attributes
    ----------
    parameters
        Names of its parameters, in their order.
    """

    def __init__(self, name: str, package: str, call: Callable[..., Any], *, in_shell: bool) -> None:
        self.name = name
        self.package = package
        self.call = call
        self.signature = inspect.signature(call)
        self.parameters = tuple(self.signature.parameters)[1:]
        self._in_shell = in_shell

    def given(self, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Return the values that the user gave, by parameter."""
        arguments = self._arguments(instance, args, kwargs)
        return given_in_shell(instance, self.name, self.parameters, arguments) if self._in_shell else arguments

    def _arguments(self, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        try:
            arguments = dict(self.signature.bind(instance, *args, **kwargs).arguments)
        except TypeError:  # the task itself raises an error that names the mistake
            return dict(kwargs)
        arguments.pop("self", None)
        for parameter in self.signature.parameters.values():  # sdcal takes its last parameters as **kwargs
            if parameter.kind is parameter.VAR_KEYWORD:
                arguments |= arguments.pop(parameter.name, {})
        return arguments

    def not_default(self, parameters: dict[str, Any]) -> tuple[str, ...]:
        """Return the names of parameters without their default value.

        They stand for the given ones if the public call was bound before it was wrapped.
        """
        defaults = {name: to_json(parameter.default) for name, parameter in self.signature.parameters.items()}
        return tuple(name for name, value in parameters.items() if to_json(value) != defaults.get(name))


class Headless(Protocol):
    """Runs tasks without the window that they would open."""

    def prepare(
        self, call: TaskCall, function: Callable[[Mapping[str, Any]], Any]
    ) -> tuple[TaskCall, Callable[[], Any], Callable[[], None]]:
        """Return the call that is run in place of `call`, a function that runs it, and one that shows its pages.

        Parameters
        ----------
        function
            Runs the task with given parameters.
        """
        ...


class FunctionExecutor:
    """Runs a task function in this process, and returns its error as a result."""

    def __init__(self, function: Callable[[], Any], log_from: int) -> None:
        self._function = function
        self._log_from = log_from

    def run(self, call: TaskCall) -> TaskResult:
        """Run the function; `call` only describes it."""
        __tracebackhide__ = True
        try:
            returned = self._function()
        except BaseException as error:  # noqa: BLE001 - KeyboardInterrupt is an outcome too; the caller raises it again
            return TaskResult(error=error, log=log_since(self._log_from))
        return TaskResult(returned=returned, log=log_since(self._log_from))


class TaskHook:
    """Puts the wrappers into a tasks package and takes them out again.

    Parameters
    ----------
    run
        Runs a call under recording: :meth:`casaprov.runner.Runner.run`.
    around
        Context of each public call.
    gui
        Runs the tasks of :data:`casaprov.casa.plots.appimages.PLOT_TASKS`; without it they open their windows.
    """

    def __init__(
        self,
        run: Run,
        around: Callable[[], AbstractContextManager[None]] = nullcontext,
        gui: Headless | None = None,
    ) -> None:
        self._run = run
        self._around = around
        self._gui = gui
        self._process = os.getpid()
        self._user_call: ContextVar[_UserCall | None] = ContextVar("casaprov_user_call", default=None)
        # CASA is not made for threads: all tasks read their parameters from one object that checks them, and its tables
        # and images crash. Of two threads that call tasks at once, one waits.
        self._one_at_a_time = threading.RLock()
        self._wrapped: set[type] = set()
        self._undo: list[Callable[[], None]] = []

    def install(self, module: ModuleType) -> None:
        """Wrap the tasks of one of the :func:`hooked_modules`."""
        in_shell = shell_task(module)
        if in_shell is not None:
            self._wrap(module, in_shell, "casatasks", in_shell=True)
            return
        if module.__name__ in _SHELL_OF_GUI:
            self._wrap(module, *_SHELL_OF_GUI[module.__name__], in_shell=True)
            return
        for name in module.__all__:
            part = sys.modules.get(f"{module.__name__}.{name}")
            if part is not None:
                self._wrap(part, name, module.__name__)

    def remove(self) -> None:
        """Restore every wrapped task."""
        while self._undo:
            self._undo.pop()()
        self._wrapped.clear()

    def _wrap(self, module: ModuleType, name: str, package: str, *, in_shell: bool = False) -> None:
        task_class, holder, attribute = _task_class(module, name), module, f"_{name}_t"
        if task_class is None:  # imview looks its function up when it is called
            task_class = _gui_class(module, name)
            if task_class is not None:
                holder, attribute = importlib.import_module(f"{package}.private.task_{name}"), name
        if task_class is None or task_class in self._wrapped:
            return
        self._wrapped.add(task_class)
        task = _Task(name, package, task_class.__call__, in_shell=in_shell)
        function = getattr(holder, attribute)
        function = getattr(function, "casaprov_wraps", function)  # already wrapped, through another module
        self._replace(holder, attribute, function, self._recorded(task, function))
        self._replace(task_class, "__call__", task.call, self._noted(task))

    def _replace(self, holder: Any, attribute: str, original: Callable[..., Any], wrapper: Callable[..., Any]) -> None:
        setattr(holder, attribute, wrapper)
        self._undo.append(lambda: setattr(holder, attribute, original))

    def _recorded(self, task: _Task, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the wrapper of the function that does the work."""
        gui = self._gui if task.package in PLOT_PACKAGES else None

        @functools.wraps(function)
        def recorded(*args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            if os.getpid() != self._process:  # a fork has no journal of its own
                return function(*args, **kwargs)
            user_call = self._user_call.get()
            own = user_call is not None and user_call.task == task.name and not user_call.reached
            if user_call is not None and own:
                user_call.reached = True
            # The class passes all values by position, in the order of its own parameters. Some task functions have
            # other names for them, which no user knows.
            parameters = dict(zip(task.parameters, args, strict=False)) | kwargs
            call = TaskCall(
                task=task.name,
                package=task.package,
                parameters=parameters,
                given=user_call.given if user_call is not None and own else task.not_default(parameters),
                cwd=Path.cwd(),
            )
            place_log()
            log_from = user_call.log_from if user_call is not None and own else log_offset()
            work: Callable[[], Any] = functools.partial(function, *args, **kwargs)
            show: Callable[[], None] | None = None
            if gui is not None:
                names = task.parameters
                call, work, show = gui.prepare(call, lambda values: function(*(values[name] for name in names)))
            result = self._run(call, FunctionExecutor(work, log_from))
            if result.error is not None:
                try:
                    raise result.error
                finally:  # see :class:`casaprov.tasks.calls.TaskResult`
                    del result
            if show is not None:
                show()
            return result.returned

        recorded.casaprov_wraps = function  # type: ignore[attr-defined]
        return recorded

    def _noted(self, task: _Task) -> Callable[..., Any]:
        """Return the wrapper of the public call."""

        @functools.wraps(task.call)
        def called(instance: Any, /, *args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            given = task.given(instance, args, kwargs)
            place_log()
            user_call = _UserCall(task=task.name, given=tuple(given), log_from=log_offset())
            with self._alone(task), self._around(), self._under_way(user_call):
                try:
                    return task.call(instance, *args, **kwargs)
                except Exception as error:
                    note_failure(error, task.name, given)
                    if not user_call.reached and os.getpid() == self._process:
                        self._refused(task, given, error, user_call.log_from)
                    raise

        # flagdata asks inspect.getfullargspec about itself, which does not look behind wrappers.
        called.__signature__ = task.signature  # type: ignore[attr-defined]
        return called

    @contextmanager
    def _under_way(self, user_call: _UserCall) -> Iterator[None]:
        token = self._user_call.set(user_call)
        try:
            yield
        finally:
            self._user_call.reset(token)

    def _alone(self, task: _Task) -> AbstractContextManager[object]:
        """Return the context of a call that must not run beside others; a task with a window runs in a process of its own."""
        # A fork may have a copy of the lock that no thread will release.
        is_alone = task.package not in PLOT_PACKAGES and os.getpid() == self._process
        return self._one_at_a_time if is_alone else nullcontext()

    def _refused(self, task: _Task, given: dict[str, Any], error: Exception, log_from: int) -> None:
        """Record a call that CASA's parameter validation refused."""

        def refuse() -> None:
            raise error

        call = TaskCall(task=task.name, package=task.package, parameters=given, given=tuple(given), cwd=Path.cwd())
        traceback = error.__traceback__
        self._run(call, FunctionExecutor(refuse, log_from))
        error.__traceback__ = traceback  # the user sees where the task raised it, without the frames of the recorder


def _task_class(module: ModuleType | None, name: str) -> type | None:
    task_class = getattr(module, f"_{name}", None)
    return task_class if isinstance(task_class, type) and hasattr(module, f"_{name}_t") else None


def _gui_class(module: ModuleType | None, name: str) -> type | None:
    task_class = getattr(module, f"_{name}", None)
    return task_class if isinstance(task_class, type) and name in PLOT_TASKS else None
