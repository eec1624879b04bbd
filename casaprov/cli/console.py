"""Shared parts of the commands: consoles, progress, interrupts, the digester."""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from casaprov.cli.terminal import PlainConsole, plain
from casaprov.errors import CasaprovError, MissingDependency
from casaprov.processes.signals import interrupted_by
from casaprov.records.wording import duration
from casaprov.version import install_command

if TYPE_CHECKING:
    from casaprov.digests.digester import Digester
    from casaprov.digests.parallel import Observes
    from casaprov.doctor import Finding
    from casaprov.replays.progress import Progress

__all__ = [
    "Finite",
    "Interrupted",
    "as_crate",
    "err",
    "extra",
    "leaving",
    "opened_digester",
    "out",
    "progress_bar",
    "show",
    "show_findings",
    "tell_cell",
    "tell_problems",
    "tell_step",
]

# A file or pipe has no width; 80 columns would break paths for nothing.
out = PlainConsole(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else 120)
err = PlainConsole(stderr=True)

_QUIET_S = 1.0  # before a progress is shown


def show(value: Any, as_json: bool, view: Callable[[Any], Any]) -> None:
    """Print a value as JSON or as `view` draws it."""
    from casaprov.records.serialise import unstructure

    if as_json:
        click.echo(json.dumps(unstructure(value), default=str))
    else:
        out.print(view(value))


@contextmanager
def opened_digester(observes: Observes = "nothing") -> Iterator[Digester]:
    """Open a digester for the time of a command."""
    from casaprov.readers.installed import open_digester

    with closing(open_digester(observes=observes)) as digester:
        yield digester


@contextmanager
def progress_bar(name: str) -> Iterator[Callable[[int, int], None]]:
    """Give a function that shows how many bytes of how many are done, once it takes long, where somebody looks at it."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    progress = Progress(*columns, console=err, transient=True)
    task, began = progress.add_task(plain(name)), time.monotonic()

    def update(done: int, size: int) -> None:
        progress.update(task, completed=done, total=size)
        if err.is_terminal and time.monotonic() - began >= _QUIET_S:
            progress.start()

    try:
        yield update
    finally:
        if progress.live.is_started:
            progress.stop()


@contextmanager
def as_crate(path: Path) -> Iterator[Path]:
    """Give a crate; that of a notebook or script is packed for the time of a command, with all secrets that it has."""
    if path.suffix not in (".ipynb", ".py") or not path.is_file():
        yield path
        return
    with extra("jupyter"):
        from casaprov.notebook.export import export_notebook
    from casaprov.crates.payload import PayloadPolicy
    from casaprov.privacy.clearance import PrivacyPolicy

    # Nobody else sees it, and its inputs have to be found by their paths.
    privacy = PrivacyPolicy(allow=True, keep_paths=True)
    with tempfile.TemporaryDirectory(prefix="casaprov-") as folder:
        crate = Path(folder, f"{path.stem}.crate.zip")
        with opened_digester("headers") as digester:
            export_notebook(path, crate, policy=PayloadPolicy(), measure=digester.measure, privacy=privacy)
        yield crate


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Turn the error of a missing package into the command that installs its extra."""
    try:
        yield
    except ImportError as error:
        if error.name is None or error.name.startswith("casaprov"):
            raise
        raise MissingDependency(
            f"The Python package {error.name} is not installed.",
            hint=f"Install it with: {install_command(name)}",
        ) from error


def tell_cell(number: int, count: int, source: str) -> None:
    """Print which cell runs now."""
    first = next((line for line in source.splitlines() if line.strip() and not line.startswith(("#", "%"))), "")
    err.print(f"[dim]cell {number}/{count}[/]  {plain(first[:80])}", soft_wrap=True)


def tell_step(progress: Progress) -> None:
    """Print which call of a replay runs now, and for how long the replay will go on."""
    left = f"[dim], about {duration(progress.left_s)} left[/]" if progress.left_s is not None else ""
    number = f"[dim]call {progress.number}/{progress.total}[/]"
    err.print(f"{number}  {plain(progress.activity.task)}{left}", soft_wrap=True)


def show_findings(
    findings: Iterable[Finding], as_json: bool, members: Callable[[Finding], Any] = lambda it: it
) -> bool:
    """Print findings as they come, or all as JSON; return True if something is missing.

    Parameters
    ----------
    members
        Returns the JSON value of a finding.
    """
    from casaprov.cli.render import finding_view

    found = []
    for finding in findings:
        found.append(finding)
        if not as_json:
            out.print(finding_view(finding), soft_wrap=True)
    if as_json:
        show([members(finding) for finding in found], True, str)
    return any(finding.status == "missing" for finding in found)


def tell_problems(problems: Iterable[CasaprovError]) -> None:
    """Print the problems of a run that went on all the same."""
    from casaprov.cli.render import error_view

    for problem in problems:
        err.print(error_view(problem), soft_wrap=True)


@contextmanager
def leaving(message: str) -> Iterator[None]:
    """End a command in the same way at every signal: it cleans up, then prints `message`, which names the remains."""
    with interrupted_by() as came:
        try:
            yield
        except KeyboardInterrupt:
            raise Interrupted(message, came[0] if came else signal.SIGINT) from None


class Interrupted(click.exceptions.Abort):
    """The end of a command by a signal; the message names the remains."""

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.number = number


class Finite(click.FloatRange):
    """A finite number on the command line."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number; refuse ``nan`` and ``inf`` with a sentence."""
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is no finite number.", param, ctx)
        return number
