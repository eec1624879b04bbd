"""``casaprov inspect``: the record of a notebook or a crate, and the origin of a product."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from casaprov.cli.console import err, extra, opened_digester, out, show
from casaprov.cli.terminal import plain
from casaprov.errors import CrateError, JournalError, RecordError, UsageError

if TYPE_CHECKING:
    from casaprov.lineage.inspection import Inspection
    from casaprov.lineage.origin import Origin, Record
    from casaprov.records.model import Document

__all__ = ["inspect"]

_path = click.Path(path_type=Path)


@click.command()
@click.argument("subject", type=_path, required=False)
@click.option(
    "--graph", is_flag=False, flag_value="-", metavar="[X.svg|png|pdf|dot|mmd|json]", help="Show or draw the graph."
)
@click.option("--prov", type=_path, metavar="FILE", help="Write the record as PROV-JSON to FILE.")
@click.option("--prov-plain", type=_path, metavar="FILE", help="Like --prov, with the terms of W3C PROV alone.")
@click.option("--script", type=_path, metavar="FILE", help="Write the calls as a plain CASA script to FILE.")
@click.option("--timing", is_flag=True, help="Show the duration of each call, and your waiting time for casaprov.")
@click.option("--upstream", "end", metavar="PATH", help="Show only the calls that this file or table came from.")
@click.option(
    "--downstream",
    "start",
    metavar="PATH",
    help="Show only the calls that used this file or table, or anything made from it.",
)
@click.option(
    "--in",
    "places",
    type=click.Path(exists=True, path_type=Path),
    multiple=True,
    metavar="FOLDER|CRATE",
    help="Search here too for the record of a product; repeatable.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
def inspect(
    *,
    subject: Path | None,
    graph: str | None,
    script: Path | None,
    timing: bool,
    as_json: bool,
    places: tuple[Path, ...],
    **options: Any,
) -> None:
    """Show the calls of a crate or a notebook, or those that a product came from.

    A notebook's journal folder, .casaprov/NAME, stands for its record.
    A product is any table, image or file. Its record is found by its content:
    in the folder where it lies, in the folders above, and where --in says.

    \b
    Example:
      casaprov inspect ngc5921.crate.zip --graph ngc5921.svg
      casaprov inspect paper/moment0.fits --in ngc5921.crate.zip --script again.py
    """
    from casaprov.cli.render import calls_table, graph_view, issues_view, timing_view
    from casaprov.drawings.graph_json import to_graph
    from casaprov.lineage.inspection import inspect_document

    if subject is None:  # "--graph SUBJECT": click gave the argument to the option
        subject, graph = Path(graph or ""), "-"
    if as_json and timing:
        raise UsageError("--timing is a table.", hint="Use --json alone: it has the times of each call.")
    title, notes = subject.name, tuple[str, ...]()
    if places or _is_product(subject):
        origin, others = _origin(subject, places)
        document, cells, whole = origin.document, dict[str, int](), origin.record.document
        title = f"{subject.name}: {origin.state.path} of {origin.record.document.notebook}, {origin.record.place}"
        made = "" if document.activities else "It is an input there: no recorded call made it."
        notes = tuple(
            filter(None, (title, made, *(f"The same content: {o.state.path} of {o.record.place}" for o in others)))
        )
    else:
        with extra("jupyter"):
            from casaprov.notebook.subject import open_subject

            opened = open_subject(subject)
        document, cells, whole = opened.document, opened.cells, opened.document
        options |= {"remarks": opened.notes, "relevant": opened.relevant}
        if options["prov"] or options["prov_plain"]:
            options["people"] = opened.people()
    # The calls of a part keep their numbers.
    found = replace(inspect_document(document, cells, **options), numbers=whole.call_numbers)
    written = list(found.written)
    if graph and graph != "-":
        _draw(found, Path(graph))
        written.insert(0, Path(graph))
    if script is not None:
        _write_script(found.document, script, title)
        written.append(script)
    if as_json and graph == "-":
        show(to_graph(found.document, found.numbers), True, str)
    elif as_json:
        show(found.document, True, str)
    elif timing or not written:
        view = timing_view if timing else graph_view if graph else calls_table
        out.print(view(found.document, found.numbers))
    if not as_json and (lines := (*notes, *found.notes, *(f"Written: {path}" for path in written))):
        out.print(issues_view(lines), soft_wrap=True)


def _draw(found: Inspection, path: Path) -> None:
    from casaprov.drawings.draw import draw

    try:
        draw(found.document, path, found.numbers)
    except OSError as error:
        message = f"{error.filename or path} cannot be written: {error.strerror or error}."
        raise UsageError(message, hint="Name another file.") from error


def _is_product(subject: Path) -> bool:
    """Return True for a table, image or file; False for a notebook, script, journal or crate, or nothing at all."""
    from casaprov.journal.folder import is_journal_folder

    if subject == Path() or not subject.exists() or subject.suffix in (".ipynb", ".zip"):
        return False
    if subject.suffix == ".py" and _is_recorded(subject):
        return False
    return subject.is_file() or not (is_journal_folder(subject) or (subject / "ro-crate-metadata.json").exists())


def _is_recorded(script: Path) -> bool:
    from casaprov.journal.folder import journal_folder, journals, place_of_record

    return bool(journals(journal_folder(place_of_record(script))))


def _origin(product: Path, places: Iterable[Path]) -> tuple[Origin, tuple[Origin, ...]]:
    """Return where a product came from, and the other states of the same content."""
    from casaprov.lineage.origin import find_origins

    if not product.exists():
        raise UsageError(f"There is no {product}.", hint="Name a table, an image or a file.")
    records = {record.place: record for record in _records(product, places)}
    with opened_digester() as digester:
        origins = find_origins(
            product, records.values(), lambda tier: digester.measure(product, tier=tier).content_digest
        )
    return origins[0], origins[1:]


def _records(product: Path, places: Iterable[Path]) -> Iterator[Record]:
    """Yield the records beside a product, those in the folders above it, and those of the named places."""
    from casaprov.journal.document import read_document
    from casaprov.journal.search import crates_below, journal_folders_above, journal_folders_below
    from casaprov.lineage.origin import Record

    folders = [*journal_folders_above(product)]
    crates: list[Path] = []
    for place in places:
        if _is_crate(place):
            crates.append(place)
        else:
            folders += journal_folders_below(place)
            crates += crates_below(place)
    for folder in folders:
        with suppress(JournalError, RecordError):  # a damaged record of another notebook is no reason to stop
            document = read_document(folder, folder.name)
            names = [session.notebook for session in document.sessions if session.notebook]
            yield Record(replace(document, notebook=names[-1]) if names else document, folder)
    for crate in crates:
        try:
            yield Record(_document_of(crate), crate)
        except (CrateError, RecordError) as error:
            err.print(f"[yellow]{plain(f'{crate} is not searched: {error.message}')}[/]", soft_wrap=True)


def _is_crate(place: Path) -> bool:
    return place.is_file() or (place / "ro-crate-metadata.json").exists()


def _document_of(crate: Path) -> Document:
    from casaprov.crate import open_crate
    from casaprov.crates.layout import is_record

    with tempfile.TemporaryDirectory(prefix="casaprov-") as folder:
        return open_crate(crate, Path(folder), verify=False, only=is_record).document


def _write_script(document: Document, script: Path, title: str) -> None:
    """Write the calls as a script, and print its gaps."""
    from casaprov.lineage.graph import Lineage
    from casaprov.replays.plan import make_plan
    from casaprov.replays.script import to_script
    from casaprov.tasks.specs import load_specs

    lineage = Lineage(document)
    tasks = {f"{spec.package}.{spec.task}" for spec in load_specs().values()}
    written = to_script(lineage, make_plan(lineage, tasks), title)
    try:
        script.write_text(written.text, encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"{script} cannot be written: {error.strerror or error}.", hint="Name another file."
        ) from error
    for sentence in written.missing:
        err.print(f"[yellow]{plain(sentence)}[/]", soft_wrap=True)
