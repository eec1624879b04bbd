"""``casaprov diff``: the changes between two runs."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from casaprov.cli.console import extra, out, show
from casaprov.cli.terminal import plain
from casaprov.errors import UsageError

if TYPE_CHECKING:
    from casaprov.diffs.run import Run
    from casaprov.records.model import Entity

__all__ = ["diff", "is_crate", "show_diff"]

_EXIT_DIFFERS = 1
_EXIT_AS_FAR_AS_POSSIBLE = 4


@click.command()
@click.argument("first", metavar="A")
@click.argument("second", metavar="B", required=False)
@click.option("--rtol", default=0.0, show_default=True, help="Relative difference to tolerate.")
@click.option("--atol", default=0.0, show_default=True, help="Absolute difference to tolerate.")
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Write a page to FILE.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
def diff(*, first: str, second: str | None, rtol: float, atol: float, html: Path | None, as_json: bool) -> int:
    """List the changes between two runs: calls, parameters, inputs, versions, products.

    A and B are notebooks, scripts, crates, or sessions: NOTEBOOK@SESSION,
    where SESSION is an id, the end of one, or a number (-1 is the last one).
    Without B, the last two sessions of A are compared. Nothing is run. Exit
    code 0: all products are the same; 1: something differs; 4: the same, as
    far as the records tell.

    \b
    Example:
      casaprov diff monday.crate.zip tuesday.crate.zip --html changes.html
    """
    return show_diff(first, second, rtol=rtol, atol=atol, html=html, as_json=as_json)


def show_diff(first: str, second: str | None, *, rtol: float, atol: float, html: Path | None, as_json: bool) -> int:
    """Compare two runs and show the answer; return the exit code."""
    from casaprov.cli.render import diff_view
    from casaprov.comparison.products import Tolerance
    from casaprov.diffs.run_diff import diff_runs
    from casaprov.readers.products import ProductComparer

    with ExitStack() as stack:
        runs = _open_runs(first, second, stack)
        comparer = stack.enter_context(closing(ProductComparer()))
        found = diff_runs(*runs, Tolerance(rtol, atol), comparer.same_listing)
    if html is not None:
        with extra("jupyter"):
            from casaprov.diffs.page import diff_page

        try:
            html.write_text(diff_page(found), encoding="utf-8")
        except OSError as error:
            raise UsageError(
                f"{html} cannot be written: {error.strerror or error}.", hint="Name another file."
            ) from error
    show(found, as_json, diff_view)
    if html is not None and not as_json:
        out.print(plain(f"Written: {html}"), soft_wrap=True)
    if not found.same:
        return _EXIT_DIFFERS
    return _EXIT_AS_FAR_AS_POSSIBLE if found.undecided else 0


def _open_runs(first: str, second: str | None, stack: ExitStack) -> tuple[Run, Run]:
    """Return the two runs to compare.

    Parameters
    ----------
    first, second
        A notebook, a crate, or ``NOTEBOOK@SESSION``; without a second one, the last two sessions of the first.
    stack
        Removes unpacked crates.

    Raises
    ------
    UsageError
        If there is no such notebook, crate or session.
    """
    if second is not None:
        return _open(first, stack), _open(second, stack)
    from casaprov.diffs.run import runs_of, session_run

    whole = _open_whole(Path(first), stack, all_sessions=True)
    count = len(runs_of(whole.document))
    if count < 2:
        raise UsageError(
            f"{first} has one run only, so there is nothing to compare it with.",
            hint="Name a second notebook or crate: casaprov diff A B.",
        )
    return session_run(whole, "-2"), session_run(whole, "-1")


def is_crate(path: Path) -> bool:
    """Return True for the folder of a crate, and for a zip with the usual name of one."""
    if path.is_dir():
        return (path / "ro-crate-metadata.json").exists()
    return path.is_file() and path.name.endswith(".crate.zip")


def _open(text: str, stack: ExitStack) -> Run:
    path = Path(text)
    if path.exists() or "@" not in text:
        return _open_whole(path, stack, all_sessions=False)
    from casaprov.diffs.run import session_run

    name, _, session = text.rpartition("@")
    return session_run(_open_whole(Path(name), stack, all_sessions=True), session)


def _open_whole(path: Path, stack: ExitStack, *, all_sessions: bool) -> Run:
    """Return the record of a notebook, or of its products now; or that of a crate."""
    if not path.exists():
        raise UsageError(f"There is no {path}.", hint="Name a notebook, a script, a crate, or NOTEBOOK@SESSION.")
    packed = path.suffix not in (".ipynb", ".py") or path.is_dir()
    return _crate(path, stack) if packed else _notebook(path, all_sessions=all_sessions)


def _notebook(path: Path, *, all_sessions: bool) -> Run:
    with extra("jupyter"):
        from casaprov.notebook.export import record_of, recorded_calls
    from casaprov.diffs.run import Run, present_file
    from casaprov.journal.folder import tree_path

    journal, document, folders = recorded_calls(path)
    return Run(
        name=str(path),
        document=document if all_sessions else record_of(path),
        tree=lambda digest: tree_path(journal, digest),
        file=lambda entity: present_file(entity, folders[entity.session] / entity.path),
    )


def _crate(path: Path, stack: ExitStack) -> Run:
    """Return the record in a crate; of a zip only the records are unpacked, and other files when they are asked for."""
    from casaprov.crate import open_crate
    from casaprov.crates.layout import is_record, tree_name
    from casaprov.diffs.run import Run, present_file
    from casaprov.untrusted.zip_file import unpack

    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="casaprov-")))
    crate = open_crate(path, folder / "records", verify=False, only=is_record)

    def place(entity: Entity) -> Path | None:
        name = crate.manifest.shipped().get(entity.id)
        if name is None or name.endswith("/"):
            return None
        if path.is_dir():
            return crate.shipped(entity)
        below = (crate.folder.relative_to(folder / "records") / name).as_posix()
        into = folder / "files" / str(len(list(folder.glob("files/*"))))
        unpack(path, into, only=lambda found: found == below)
        return into / below

    return Run(
        name=str(path),
        document=crate.document,
        tree=lambda digest: crate.folder / tree_name(digest),
        file=lambda entity: present_file(entity, place(entity)),
    )
