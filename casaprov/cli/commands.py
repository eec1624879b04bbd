"""The commands: each parses its arguments, calls one function, and renders the result.

Exit codes: 0 done and verified; 1 something differs or is not valid;
2 the command makes no sense as given; 3 it could not be carried out;
4 verified as far as possible.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click
from rich.logging import RichHandler

from casaprov.cli.archive import archive
from casaprov.cli.cache import cache
from casaprov.cli.console import (
    Finite,
    Interrupted,
    as_crate,
    err,
    extra,
    leaving,
    opened_digester,
    out,
    show,
    show_findings,
    tell_cell,
    tell_problems,
    tell_step,
)
from casaprov.cli.crates import annotate, export, sign
from casaprov.cli.diff import diff, is_crate, show_diff
from casaprov.cli.inspect import inspect
from casaprov.cli.kernel import kernel
from casaprov.cli.questions import check, show_dry_run, why
from casaprov.cli.terminal import plain, visible
from casaprov.cli.vo import fetching, link, vo
from casaprov.errors import CasaprovError, DigestError, MissingDependency, RecordError, UsageError
from casaprov.version import __version__

if TYPE_CHECKING:
    from casaprov.doctor import Finding

__all__ = ["EXIT_CODES", "cli", "main"]

EXIT_CODES: tuple[tuple[type[BaseException], int], ...] = (
    (UsageError, 2),
    (MissingDependency, 3),
    (RecordError, 3),
    (CasaprovError, 3),
    (OSError, 3),
    (KeyboardInterrupt, 130),
)
"""Exit code by class of exception; the first class that fits counts."""

_LINES = "\n\t"  # control characters that a message of several lines keeps

EXIT_DIFFERS = 1
EXIT_COULD_NOT_RUN = 3
EXIT_AS_FAR_AS_POSSIBLE = 4

_CONCLUSIONS = {
    "verified": 0,
    "differs": EXIT_DIFFERS,
    "stopped": EXIT_COULD_NOT_RUN,
    "not-run": EXIT_COULD_NOT_RUN,
    "verified-as-far-as-possible": EXIT_AS_FAR_AS_POSSIBLE,
}
"""Exit code by the conclusion of a replay."""


_notebook = click.Path(dir_okay=False, path_type=Path)
_any_path = click.Path(path_type=Path)
_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    for stream in (sys.stdout, sys.stderr):  # a record may hold text that the terminal's encoding lacks
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = cli.main(arguments, prog_name="casaprov", standalone_mode=False)
    except click.exceptions.Abort as aborted:
        number = aborted.number if isinstance(aborted, Interrupted) else signal.SIGINT
        by = "" if number == signal.SIGINT else f" by {signal.Signals(number).name}"
        with contextlib.suppress(OSError, SystemExit):  # the terminal may be gone, or the reader of a pipe
            err.print(" ".join((f"Interrupted{by}.", *map(plain, map(str, aborted.args)))), soft_wrap=True)
        return 128 + number
    except click.ClickException as error:
        text = io.StringIO()
        error.show(text)
        click.echo(visible(text.getvalue(), keep="\n"), err=True, nl=False)
        return error.exit_code
    except SystemExit:  # click ends so when the reader of a pipe leaves early; that is no failure
        return 0
    except (CasaprovError, OSError, KeyboardInterrupt) as error:
        from casaprov.cli.render import error_view

        err.print(error_view(error), soft_wrap=True)
        return next(code for kind, code in EXIT_CODES if isinstance(error, kind))
    return code if isinstance(code, int) else 0


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="casaprov")
@click.option("-v", "--verbose", count=True, help="Print more messages; -vv prints all.")
def cli(verbose: int) -> None:
    """Record, pack and replay CASA notebooks.

    \b
    A first round:
      casaprov run reduction.ipynb
      casaprov export reduction.ipynb -o reduction.crate.zip
      casaprov replay reduction.crate.zip
    """
    level = (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)]
    handler = RichHandler(console=err, show_time=False, show_path=False)
    logging.basicConfig(level=level, format="%(message)s", handlers=[handler])


@cli.command()
@click.argument("notebook", type=_notebook)
@click.argument("arguments", nargs=-1)
@click.option("-o", "--output", type=_notebook, help="Write the executed notebook here instead of in place.")
@click.option("--kernel", help="Kernelspec to use instead of the notebook's own.")
@click.option("--timeout", type=Finite(min=0, min_open=True), help="Time limit of one cell, in seconds.")
@click.option("--cache", "cached", is_flag=True, help="Restore the results of calls whose inputs did not change.")
@click.option("--dry", is_flag=True, help="Run nothing: list what --cache would restore and what it would run.")
@click.option("--casa-shell", is_flag=True, help="Run a script with the names of CASA's own shell, as 'casa -c' does.")
def run(
    *,
    notebook: Path,
    arguments: tuple[str, ...],
    output: Path | None,
    kernel: str | None,
    timeout: float | None,
    cached: bool,
    dry: bool,
    casa_shell: bool,
) -> int:
    """Execute a notebook or a Python script under recording.

    A notebook runs in the folder of the executed notebook, and is recorded
    even if it does not load casaprov itself. If a cell fails, or you interrupt
    the run, everything up to that cell is kept.

    A script runs here as under 'python', with the arguments behind '--'; its
    record is in .casaprov of the working folder.

    \b
    Example:
      casaprov run ngc5921.ipynb -o run/ngc5921.ipynb
      casaprov run reduce.py -- --field 2
    """
    if notebook.suffix == ".py":
        given = {"--output": output, "--kernel": kernel, "--timeout": timeout}
        if dry and not any(given.values()):
            show_dry_run(notebook, notebook)
            return 0
        _run_script(notebook, arguments, given, cached=cached, casa_shell=casa_shell)
    if arguments or casa_shell:
        raise UsageError(f"{notebook} is no script: it takes no arguments.", hint="Name a file that ends in .py.")
    if dry:
        show_dry_run(notebook, output or notebook)
        return 0
    with extra("jupyter"):
        from casaprov.notebook.execute import run_notebook
    from casaprov.casa.installed.data import prepare
    from casaprov.cli.render import calls_table

    prepare()
    variables = {"CASAPROV_CACHE": "on"} if cached else {}
    result = run_notebook(
        notebook, output or notebook, kernel=kernel, timeout_s=timeout, on_cell=tell_cell, variables=variables
    )
    where = plain(str(result.notebook))
    if result.signal is not None:
        name, number = signal.Signals(result.signal).name, result.failure.number if result.failure else 0
        with contextlib.suppress(OSError):  # the terminal may be gone
            err.print(
                f"Interrupted by {name} in cell {number}. The cells executed so far are in {where}.", soft_wrap=True
            )
            tell_problems(result.problems)
        return 128 + result.signal
    if result.document is not None:
        out.print(calls_table(result.document))
    tell_problems(result.problems)
    if result.failure is not None:
        failed = f"Cell {result.failure.number} failed:" if result.failure.number else "The kernel failed:"
        err.print(f"[bold red]{failed}[/] {plain(result.failure.message, keep=_LINES)}", soft_wrap=True)
        done = "Everything before is recorded and" if result.document else "No CASA task was called; the outputs are"
        err.print(f"{done} written to {where}.", soft_wrap=True)
        return EXIT_COULD_NOT_RUN
    out.print(f"Written: {where}", soft_wrap=True)
    if result.document is None and not result.problems:
        out.print("No CASA task was called, so nothing was recorded.")
    return EXIT_COULD_NOT_RUN if result.problems else 0


def _run_script(
    script: Path, arguments: tuple[str, ...], options: Mapping[str, Any], *, cached: bool, casa_shell: bool
) -> NoReturn:
    """Let a script take the place of this process, so that its signals and its exit code are those of a script."""
    from casaprov.script_hook import command

    if senseless := [name for name, value in options.items() if value is not None]:
        raise UsageError(f"{senseless[0]} is for notebooks; {script} is a script.", hint=f"Leave out {senseless[0]}.")
    if not script.is_file():
        raise UsageError(f"There is no script {script}.", hint="Check the path.")
    sys.stdout.flush()
    line = command(script, arguments, casa_shell=casa_shell)
    os.execve(line[0], line, {**os.environ, **({"CASAPROV_CACHE": "on"} if cached else {})})  # noqa: S606 - a list of arguments, no shell


@cli.command(name="import-log")
@click.argument("logs", type=_notebook, nargs=-1, required=True)
@click.option(
    "-o",
    "--output",
    type=_any_path,
    metavar="NOTEBOOK|JOURNAL",
    required=True,
    help="The notebook to write, with its record beside it; or only the record: a folder .casaprov/NAME.",
)
@click.option(
    "--folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Where the reduction lies now; by default the folder of the first log.",
)
def import_log(*, logs: tuple[Path, ...], output: Path, folder: Path | None) -> None:
    """Make a record of a reduction from its CASA logs.

    For reductions that were made without casaprov, with CASA 4.7 or later. The
    folder is by default that of the first log. Files that are still there are
    digested now, and the record says so.

    \b
    Example:
      casaprov import-log casa-2019*.log -o old.ipynb
    """
    with extra("jupyter"):
        from casaprov.notebook.index import sync_notebook
        from casaprov.notebook.ipynb import check_target, write_notebook
    from casaprov.casalogs.imported_record import import_logs
    from casaprov.casalogs.log_notebook import log_notebook
    from casaprov.cli.render import issues_view
    from casaprov.journal.folder import is_journal_folder, journal_folder
    from casaprov.records.wording import counted

    only_record = is_journal_folder(output)
    if not only_record:
        check_target(output)
        if output.exists():
            raise UsageError(f"{output} exists; it is not replaced.", hint="Name another notebook with --output.")
    journal = output if only_record else journal_folder(output)
    with opened_digester("headers") as digester:
        record = import_logs(logs, folder or logs[0].absolute().parent, journal, digester.measure)
    if not only_record:
        write_notebook(log_notebook(record, logs, output.stem), output)
        sync_notebook(output)
    versions = ", ".join(filter(None, dict.fromkeys(one.environment.casatasks for one in record.sessions)))
    calls = counted(len(record.activities), "call")
    out.print(f"The record of {plain(str(output))} has {calls}{f' of CASA {versions}' if versions else ''}.")
    if record.digested:
        still = counted(len(record.digested), "file or table", "files and tables")
        out.print(f"Digested, because still there: {still}.")
    else:
        out.print("None of its files and tables is still there to be digested.")
    out.print(issues_view(record.remarks), soft_wrap=True)


@cli.command()
@click.argument("crate", type=_any_path)
@click.option("--strict", is_flag=True, help="Count additions by others as errors.")
@click.option("--profile", is_flag=True, help="Check it against its RO-Crate profiles too, with roc-validator.")
@click.option(
    "--signed-by", type=_any_path, metavar="KEYS", help="Public key, or allowed signers: one must have signed."
)
@_json_option
def validate(*, crate: Path, strict: bool, profile: bool, signed_by: Path | None, as_json: bool) -> int:
    """Check a crate: archive, checksums, schemas, records, graph.

    CRATE may be a notebook or a script: the crate that it gives is checked.

    Errors are changes to the records, or to anything that follows from them.
    Notes are additions by others: a DOI, a publisher, a preview.

    \b
    Example:
      casaprov validate ngc5921.crate.zip
    """
    from casaprov.cli.render import crate_findings_view
    from casaprov.crates.checking.validation import examine_crate, signature_findings
    from casaprov.profiles.official import profile_findings

    with as_crate(crate) as packed:
        findings = examine_crate(packed)
        if profile and not findings.errors:
            findings = findings.joined(profile_findings(packed))
        if strict:
            findings = findings.strict()
        if signed_by is not None and not findings.errors:
            findings = findings.joined(signature_findings(packed, signed_by))
    show(findings, as_json, lambda found: crate_findings_view(found, str(crate)))
    return EXIT_DIFFERS if findings.errors else 0


@cli.command()
@click.argument("crate", type=_any_path)
@click.option("--work", type=_any_path, help="Empty or new folder to work in; by default replay-<crate>.")
@click.option("--data", type=_any_path, multiple=True, help="Folder to search for inputs; repeatable.")
@click.option("--rtol", default=0.0, show_default=True, help="Relative difference to tolerate.")
@click.option("--atol", default=0.0, show_default=True, help="Absolute difference to tolerate.")
@click.option("--python", default=sys.executable, help="Python whose CASA runs the tasks; by default this one.")
@click.option(
    "--unconfined", is_flag=True, help="Allow the crate's calls everything that you may do, beyond the work folder."
)
@click.option("--fetch", is_flag=True, help="Fetch inputs that are not found here from their archives.")
@click.option(
    "--limit",
    "limits",
    multiple=True,
    metavar="NAME=VALUE",
    help="Most that one call may use: memory=16GB, cpu=2h, time=2h, processes=500, open-files=500, file-size=50GB,"
    " folder-size=50GB, or none; repeatable.",
)
@click.option(
    "--cache", type=_any_path, help="Folder that keeps results for later replays: equal calls are not run again."
)
@click.option("--ignore-checksums", is_flag=True, help="Replay a crate although it was changed after it was packed.")
@_json_option
def replay(
    *,
    crate: Path,
    work: Path | None,
    data: tuple[Path, ...],
    rtol: float,
    atol: float,
    python: str,
    unconfined: bool,
    fetch: bool,
    limits: tuple[str, ...],
    cache: Path | None,
    ignore_checksums: bool,
    as_json: bool,
) -> int:
    """Run a crate's CASA calls again in an empty folder and compare every product.

    CRATE may be a notebook or a script that was recorded here.

    Only known CASA tasks run, in a process that can change nothing outside of
    the work folder and reach no network. Exit code 0: everything is verified;
    1: something differs; 3: nothing could be run; 4: some calls could not be
    run, and the products of the others are verified.

    \b
    Example:
      casaprov replay ngc5921.crate.zip --work again --data ~/archive
    """
    from casaprov.casa.replaying import InstalledCasa
    from casaprov.cli.render import replay_view
    from casaprov.comparison.products import Tolerance
    from casaprov.replay import ReplayOptions, replay_crate

    folder = work or Path(f"replay-{crate.name.split('.')[0]}")
    tolerance, verify = Tolerance(rtol, atol), not ignore_checksums
    kept = leaving(f"The products replayed so far are in {folder}.")
    with kept, as_crate(crate) as packed, opened_digester() as digester, fetching(wanted=fetch) as resolvers:
        options = ReplayOptions(
            data=data, tolerance=tolerance, verify=verify, fetch=resolvers, limits=limits, cache=cache
        )
        casa = InstalledCasa(digester, python=python, confined=not unconfined)
        report = replay_crate(packed, folder, casa, options, on_step=tell_step)
    show(report, as_json, replay_view)
    return _CONCLUSIONS[report.conclusion]


@cli.command()
@click.argument("first", type=_any_path)
@click.argument("second", type=_any_path)
@click.option("--rtol", default=0.0, show_default=True, help="Relative difference to tolerate.")
@click.option("--atol", default=0.0, show_default=True, help="Absolute difference to tolerate.")
@_json_option
def compare(*, first: Path, second: Path, rtol: float, atol: float, as_json: bool) -> int:
    """Compare two tables, images or files, cell by cell.

    Of two crates the runs are compared, as 'casaprov diff' does.

    \b
    Example:
      casaprov compare ngc5921.ms again/ngc5921.ms
    """
    if is_crate(first) and is_crate(second):
        err.print("These are crates: their runs are compared, as 'casaprov diff' does.")
        return show_diff(str(first), str(second), rtol=rtol, atol=atol, html=None, as_json=as_json)
    from casaprov.cli.render import comparison_view
    from casaprov.comparison.products import Tolerance
    from casaprov.readers.products import compare_products

    comparison = compare_products(first, second, Tolerance(rtol, atol))
    show(comparison, as_json, comparison_view)
    return EXIT_DIFFERS if comparison.verdict in ("differs", "missing", "not-verifiable") else 0


@cli.command()
@click.argument("paths", type=_any_path, nargs=-1, required=True)
@_json_option
def digest(paths: tuple[Path, ...], as_json: bool) -> None:
    """Print the content digest of tables, images and files.

    \b
    Example:
      casaprov digest ngc5921.ms ngc5921.bcal
    """
    from casaprov.cli.render import error_view
    from casaprov.records.serialise import unstructure

    missing = [str(path) for path in paths if not path.exists()]
    failures: list[CasaprovError] = []
    with opened_digester() as digester:
        for path in paths if len(missing) < len(paths) else ():
            try:
                measured = digester.measure(path) if path.exists() else None
            except DigestError as error:
                failures.append(error)
                continue
            if measured is None:
                continue
            if as_json:
                click.echo(json.dumps({"path": str(path), **unstructure(measured)}))
            else:
                click.echo(f"{measured.content_digest}  {measured.kind:<16}  {visible(path)}")
    if missing:
        failures.append(
            UsageError(f"There is nothing at {', '.join(missing)}.", hint="Check the name and the working folder.")
        )
    for failure in failures[:-1]:
        err.print(error_view(failure), soft_wrap=True)
    if failures:
        raise failures[-1]


@cli.command()
@click.argument("notebook", type=_notebook)
def sync(notebook: Path) -> None:
    """Write the index of recorded calls into a notebook's metadata.

    A script has no metadata: if it was renamed, its record follows it.

    \b
    Example:
      casaprov sync ngc5921.ipynb
    """
    with extra("jupyter"):
        from casaprov.notebook.index import sync_notebook
    from casaprov.records.wording import counted

    index = sync_notebook(notebook)
    sessions, calls = len(index["sessions"]), len(index["calls"])
    where = "record" if notebook.suffix == ".py" else "metadata"
    out.print(
        f"{plain(str(notebook))}: {counted(calls, 'call')} of {counted(sessions, 'session')} are in its {where}.",
        soft_wrap=True,
    )


@cli.command()
@_json_option
def doctor(as_json: bool) -> int:
    """Check the installation, and name a remedy for each missing part.

    \b
    Example:
      casaprov doctor
    """
    from casaprov.casa.checks import CHECKS as CASA_CHECKS
    from casaprov.casa.plots.checks import CHECKS as PLOT_CHECKS
    from casaprov.doctor import CHECKS, examine
    from casaprov.notebook.kernelspec import CHECKS as KERNEL_CHECKS

    err.print("[dim]Checking this installation; it takes some seconds until CASA is loaded.[/]", soft_wrap=True)
    is_missing = show_findings(examine((*CASA_CHECKS, *PLOT_CHECKS, *CHECKS, *KERNEL_CHECKS)), as_json, _members)
    return EXIT_COULD_NOT_RUN if is_missing else 0


def _members(finding: Finding) -> dict[str, Any]:
    """Return a finding as JSON values: programs know its message by the key ``told``."""
    from casaprov.records.serialise import unstructure

    return {("told" if name == "message" else name): value for name, value in unstructure(finding).items()}


@cli.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script for a shell.

    \b
    Example:
      casaprov completion bash >> ~/.bashrc
    """
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    if found is None:
        raise UsageError(f"There is no completion for {shell}.")
    click.echo(found(cli, {}, "casaprov", "_CASAPROV_COMPLETE").source())


cli.add_command(archive)
cli.add_command(cache)
cli.add_command(check)
cli.add_command(diff)
cli.add_command(inspect)
cli.add_command(annotate)
cli.add_command(export)
cli.add_command(kernel)
cli.add_command(link)
cli.add_command(sign)
cli.add_command(vo)
cli.add_command(why)
