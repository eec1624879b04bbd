"""``python -m casaprov.script_hook -- SCRIPT ARGUMENTS``: a script runs as under plain Python, and is recorded.

There is no kernel: the script is the main module of this process, its output and its tracebacks go where they would
go without casaprov, and its exit code is that of the process. A failure of the recorder never reaches it. This module
wires the session of :mod:`casaprov.kernel.recorded_session` to it, as :mod:`casaprov.kernel_hook` does for a kernel.
"""

from __future__ import annotations

import atexit
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING

from casaprov.casa.hooks.wrappers import Wrappers
from casaprov.casa.installed.data import prepare
from casaprov.casa.plots.kernel_plots import KernelPlots
from casaprov.errors import CasaprovError
from casaprov.hashing import Digest, digest_bytes
from casaprov.journal.folder import journal_folder
from casaprov.kernel.notices import print_notice
from casaprov.kernel.recorded_session import RecordedSession
from casaprov.recording import activities
from casaprov.recording.finish_queue import FinishQueue, Patience
from casaprov.records.model import Activity, Entity, ScriptRun, Step
from casaprov.scripts.call_sites import CallSites, RunningScript
from casaprov.scripts.cells import ScriptCell, decoded, script_cells
from casaprov.tasks.calls import Executor, TaskCall, TaskResult
from casaprov.version import install_command

if TYPE_CHECKING:
    from casaprov.recompute.lookup import Recomputation
    from casaprov.recorder import Recorder
    from casaprov.records.model import Tier

__all__ = ["CASA_SHELL", "ScriptRecording", "command", "main"]

CASA_SHELL = "--casa-shell"

_log = logging.getLogger(__name__)


def command(script: Path, arguments: Sequence[str], *, casa_shell: bool) -> list[str]:
    """Return the command that runs a script under recording."""
    return [sys.executable, "-P", "-m", __name__, *([CASA_SHELL] if casa_shell else []), "--", str(script), *arguments]


def main(arguments: Sequence[str]) -> None:
    """Run a script with its arguments; return when it has ended without an exception.

    Parameters
    ----------
    arguments
        Perhaps :data:`CASA_SHELL`, then ``--``, the script, and its own arguments.
    """
    place = arguments.index("--")
    argv, casa_shell = list(arguments[place + 1 :]), CASA_SHELL in arguments[:place]
    interrupted: list[bool] = []
    atexit.register(_end_by_interrupt, interrupted)  # first, and so the last to run
    path = Path(os.path.abspath(argv[0]))  # noqa: PTH100 - as Python does: links are not followed
    data = path.read_bytes()
    prepare()
    recording = ScriptRecording(path, data, argv[1:], casa_shell=casa_shell)
    recording.start()
    sys.argv = argv
    if not os.environ.get("PYTHONSAFEPATH"):
        sys.path.insert(0, str(path.resolve().parent))
    module = _main_module(path)
    if casa_shell:
        _start_casa_shell(module)
    failure = _run(data, path, module)
    recording.settle()
    if isinstance(failure, SystemExit):
        raise failure
    if failure is not None:
        interrupted += [True] * isinstance(failure, KeyboardInterrupt)
        sys.exit(1)


def _main_module(path: Path) -> ModuleType:
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


def _start_casa_shell(module: ModuleType) -> None:
    """Put the names of CASA's own shell into the main module; they need a shell of IPython, which shows nothing."""
    from casaprov.casa.startup import start_casa
    from casaprov.kernel.quiet_shell import quiet_shell

    missing = start_casa(quiet_shell(module))
    if missing is not None:
        print_notice(f"casaprov: {missing} 'casaprov doctor' tells more.")


def _run(data: bytes, path: Path, module: ModuleType) -> BaseException | None:
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
    return Path(file).is_relative_to(Path(__file__).parent)


def _end_by_interrupt(interrupted: list[bool]) -> None:
    """Let the process end by the signal of an interrupt, as Python does, so that its caller sees it."""
    if interrupted:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)


class ScriptRecording:
    """Recording of one run of a script, beside the files that it makes.

    The record lies in ``.casaprov/<name>.py`` of the working folder: a script that runs for several data sets, each in
    its own folder, has a record in each of them.
    """

    def __init__(self, path: Path, data: bytes, arguments: Sequence[str], *, casa_shell: bool) -> None:
        self._run = ScriptRun(digest=digest_bytes(data), arguments=tuple(arguments), casa_shell=casa_shell)
        self._folder = Path.cwd()
        self._calls = _Calls()
        self._finish_queue = FinishQueue(lambda _names: None)
        self.session = RecordedSession(
            _Name(self._folder, path.name),
            self._calls,
            self._finish_queue,
            sites=CallSites(self._folder, RunningScript(path, data, _cells(path, data))),
            open_recorder=self._open_recorder,
            open_recomputation=self._open_recomputation,
            settle_tools=lambda: self._wrappers.settle_tools(),  # noqa: PLW0108 - the wrappers are made below
            on_failure=self.stop,
        )
        self._plots = KernelPlots(lambda: journal_folder(self.session.notebook) / "plots", lambda _pages: None)
        self._wrappers = Wrappers(self.session, nullcontext, self._plots, print_notice)

    def start(self) -> None:
        """Wrap tasks and tools."""
        self._wrappers.install()
        activities.attach(self.session)
        if self.session.settings.trouble:
            print_notice(f"casaprov: {self.session.settings.trouble} Until then the defaults hold.")
        atexit.register(self.stop)

    def settle(self) -> None:
        """Wait until all records so far are finished; the threads that finish them end before functions of atexit run."""
        if self.session.closed:
            return
        try:
            self.session.settle()
        except Exception:  # noqa: BLE001 - a recorder failure never breaks a script
            _log.info("records are not finished", exc_info=True)

    def stop(self) -> None:
        """Close the session, and say where its record is."""
        if self.session.closed:
            return
        activities.attach(None)
        self._wrappers.remove()
        self._plots.close()
        atexit.unregister(self.stop)
        self.session.close()
        if self._calls.ended:
            calls = "1 call is" if self._calls.ended == 1 else f"{self._calls.ended} calls are"
            where = journal_folder(self.session.notebook).relative_to(self._folder)
            print_notice(f"casaprov: {calls} recorded in {where}.")

    def _open_recorder(self, record: Path) -> Recorder:
        from casaprov.casa.session import new_session, open_recorder, tier_by_size  # loaded with the first call

        def tier(path: Path) -> Tier:
            return tier_by_size(self.session.settings.config)(path)

        return open_recorder(
            replace(new_session(self._folder, record.name), script=self._run),
            journal_folder(record),
            self.session.digester(),
            tier,
            self._finish_queue,
            keep_up_to=lambda: self.session.settings.config.keep_up_to,
            patience=Patience(lambda: self.session.settings.config.patience / 100),
        )

    def _open_recomputation(self, recorder: Recorder, record: Path) -> Recomputation:
        from casaprov.casa.recomputing import open_recomputation  # loaded where the cache is on

        def left_out(task: str) -> str:
            named = task in self.session.settings.config.not_cached
            return f"The setting not_cached names {task}." if named else ""

        return open_recomputation(
            recorder,
            record,
            self.session.settings.config,
            digester=self.session.digester,
            left_out=left_out,
            on_notice=print_notice,
        )


class _Name:
    """The name under which a script is recorded (:class:`casaprov.kernel.recorded_session.Name`)."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self._name = name

    def path(self) -> Path:
        return self.folder / self._name

    def note_cell(self, cell_id: str | None) -> None:
        """Do nothing: a script has no ids of cells."""


class _Calls:
    """The calls of a script, which are shown nowhere (:class:`casaprov.kernel.recorded_session.Cells`)."""

    def __init__(self) -> None:
        self.step: Step | None = None
        self.executed: dict[str, Digest] = {}
        self.ended = 0

    def run(
        self, call: TaskCall, executor: Executor, run: Callable[[TaskCall, Executor], TaskResult] | None = None
    ) -> TaskResult:
        return run(call, executor) if run is not None else executor.run(call)

    def call_ended(self, _activity: Activity, _written: tuple[Path, ...]) -> None:
        self.ended += 1

    def call_recorded(self, activity: Activity, entities: tuple[Entity, ...]) -> None:
        """Do nothing: the journal has the record."""


def _cells(path: Path, data: bytes) -> tuple[ScriptCell, ...]:
    text = decoded(data)
    try:
        return script_cells(text)
    except Exception as error:  # noqa: BLE001 - the script runs without cells
        more = f"Install it with: {install_command('jupyter')}" if isinstance(error, ImportError) else ""
        print_notice(f"casaprov: the cells of {path.name} are recorded as one ({error}). {more}".strip())
        return (ScriptCell("code", text, 1),)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except CasaprovError as error:  # of prepare(): CASA or its data are missing
        print_notice(f"casaprov: {error}")
        sys.exit(3)
