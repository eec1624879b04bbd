"""Questions about a notebook and its record: ``casaprov why``, ``casaprov check`` and ``casaprov run --dry``."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from casaprov.cli.console import err, extra, opened_digester, out, show
from casaprov.cli.terminal import plain
from casaprov.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Group

    from casaprov.digests.measurement import Measure, Measurement
    from casaprov.forecast.cached_run import ExpectedCall
    from casaprov.forecast.fresh_run import FreshRun, Presence
    from casaprov.forecast.rerun import Check
    from casaprov.lineage.graph import Lineage
    from casaprov.records.model import Entity

__all__ = ["check", "show_dry_run", "why"]

_EXIT_DIFFERS = 1


@click.command()
@click.argument("notebook", type=click.Path(dir_okay=False, path_type=Path))
@click.argument("call", required=False)
def why(*, notebook: Path, call: str | None) -> None:
    """Say why the calls of the last run of a notebook ran or were restored.

    CALL is the number of a call in that run, the name of a task, or an id.

    \b
    Example:
      casaprov why ngc5921.ipynb tclean
    """
    with extra("jupyter"):
        from casaprov.notebook.subject import open_subject
    from casaprov.cli.render import issues_view
    from casaprov.lineage.reasons import reasons

    document = open_subject(notebook).document
    last = document.activities[-1].session if document.activities else ""
    here = [activity for activity in document.activities if activity.session == last]
    found = [a for a in here if call in (None, a.task, str(a.number_in_session))]
    found = found or [activity for activity in document.activities if activity.id == call]
    if not found:
        raise UsageError(
            f"There is no call {call} in {notebook}.", hint=f"'casaprov inspect {notebook}' lists the calls."
        )
    lines = [f"{activity.number_in_session}: {' '.join(reasons(document, activity))}" for activity in found]
    out.print(issues_view(lines), soft_wrap=True)


@click.command()
@click.argument("notebook", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of sentences.")
def check(*, notebook: Path, as_json: bool) -> int:
    """Compare the products with those that "Restart & Run All" would give.

    NOTEBOOK may be a script that was recorded: then with those of a new run.

    Nothing is run. The answer follows from the record: a product is not what
    the saved notebook makes if a cell was edited or run out of order, or if a
    call went on with what an earlier run had left. Exit code 1: it would not.

    \b
    Example:
      casaprov check ngc5921.ipynb
    """
    from casaprov.forecast.rerun import check as check_products

    with opened_digester() as digester:
        lineage, run, presence = _fresh_run(notebook, notebook, digester.measure)
        found = check_products(lineage, run, presence)
    if notebook.suffix == ".py":
        found = replace(found, run="A run of the script")
    show(found, as_json, check_view)
    return 0 if found.holds else _EXIT_DIFFERS


def check_view(found: Check) -> str:
    """Return the answer as lines."""
    lines = [found.answer]
    lines += [f"• {plain(one.path)}: {plain(one.reason)}" for one in found.products]
    if found.cells:
        lines.append("Cells to run again, in this order:")
    lines += [
        f"• cell {one.number} ({plain(', '.join(one.tasks)) or 'no task'}): {plain(' '.join(one.reasons))}"
        for one in found.cells
    ]
    lines += [f"• {plain(request)}" for request in found.requests]
    return "\n".join([*lines, *(f"• note: {plain(note)}" for note in found.notes)])


def show_dry_run(source: Path, target: Path) -> None:
    """Print the calls that ``casaprov run --cache`` would run, and those that it would restore.

    Parameters
    ----------
    source, target
        The notebook or script to run, and the one that is written, whose record counts.
    """
    from casaprov.casa.installed.environment import current_environment
    from casaprov.config import load_config
    from casaprov.forecast.cached_run import cached_run
    from casaprov.journal.folder import place_of_record
    from casaprov.lineage.reasons import environment_changes
    from casaprov.recompute.store.opening import open_store

    with opened_digester() as digester:
        lineage, run, _ = _fresh_run(source, target, digester.measure)
    recorded = {session.id: session.environment for session in lineage.document.sessions}
    folder = place_of_record(target).parent
    present = current_environment(folder)

    def changes(session: str) -> str:
        return next(environment_changes(recorded[session], present), "")

    def notice(text: str) -> None:
        err.print(f"[yellow]{plain(text)}[/]", soft_wrap=True)

    with closing(open_store(load_config(folder), folder, on_notice=notice)) as store:
        out.print(_calls_view(cached_run(run, store.holds, changes)))


def _fresh_run(
    source: Path, target: Path, measure: Measure[Measurement]
) -> tuple[Lineage, FreshRun, Callable[[Entity], Presence]]:
    """Return the record of a notebook, the run of another one from the top, and the states of the files now."""
    with extra("jupyter"):
        from casaprov.notebook.export import recorded_calls
    from casaprov.forecast.fresh_run import fresh_run
    from casaprov.forecast.presence import present_files
    from casaprov.forecast.script_run import script_as_notebook
    from casaprov.hashing import Digest
    from casaprov.journal.folder import script_path
    from casaprov.lineage.graph import Lineage

    journal, document, folders = recorded_calls(target)
    presence, executed, saved = present_files(folders, measure), dict[str, Digest](), source.read_bytes()
    if document.last_run is not None and (script := document.last_run.script) is not None:
        kept = script_path(journal, script.digest)
        as_saved = script_as_notebook(document, saved, kept.read_bytes() if kept.is_file() else b"")
        document, saved, executed = as_saved.document, as_saved.notebook, as_saved.executed
    lineage = Lineage(document)
    return lineage, fresh_run(lineage, saved, presence, executed), presence


def _calls_view(calls: tuple[ExpectedCall, ...]) -> Group:
    from rich.console import Group
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("cell", "task", "", "seconds", "why"):
        table.add_column(heading, justify="right" if heading in ("cell", "seconds") else "left")
    for call in calls:
        what = "[green]restored[/]" if call.outcome == "restored" else "[yellow]run[/]"
        seconds = "" if call.seconds is None else f"{call.seconds:.1f}"
        table.add_row(str(call.cell), plain(call.task), what, seconds, plain(call.reason))
    run = [call for call in calls if call.outcome == "run"]
    took = sum(call.seconds or 0.0 for call in run)
    whole = sum(call.seconds or 0.0 for call in calls)
    return Group(
        table,
        f"{len(calls) - len(run)} calls would be restored and {len(run)} run: about {took:.1f} s instead of {whole:.1f} s.",
    )
