"""The commands that ask archives of the Virtual Observatory: ``link`` and ``vo``."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import click

from casaprov.cli.console import Finite, extra, out
from casaprov.cli.terminal import plain
from casaprov.errors import UsageError
from casaprov.journal.links import Link, store_links
from casaprov.records.model import Document, Entity

__all__ = ["fetching", "link", "look_up_and_store", "vo"]

_notebook = click.Path(dir_okay=False, path_type=Path)
_any_path = click.Path(path_type=Path)
_tap = click.option("--tap", "service", metavar="URL", help="TAP service to ask, instead of those that casaprov knows.")
_EXIT_NOTHING_FOUND = 1


@click.command()
@click.argument("notebook", metavar="NOTEBOOK|CRATE", type=_any_path)
@click.argument("file", required=False)
@click.option(
    "--id",
    "identifiers",
    multiple=True,
    metavar="ID",
    help="ivo://…, DOI, bibcode, address, or NAME=VALUE; repeatable.",
)
@click.option("--auto", is_flag=True, help="Look all inputs up in the archives of their telescopes.")
@_tap
@click.option("-o", "--output", type=_any_path, help="The new crate, if a crate is linked.")
def link(
    *,
    notebook: Path,
    file: str | None,
    identifiers: tuple[str, ...],
    auto: bool,
    service: str | None,
    output: Path | None,
) -> int:
    """Tie the inputs of a notebook or crate to the archives that they came from.

    Either give a FILE with its identifiers, or --auto. The links of a notebook
    lie beside its record, and 'casaprov export' packs them. Those of a crate
    are statements in a copy of it, as 'casaprov annotate' writes them.

    \b
    Example:
      casaprov link ngc5921.ipynb n14c3_1_1.IDI1 --id 'ivo://jive.eu/~?N14C3_141030_1_1_3C84_4926.49MHz'
    """
    if auto == bool(identifiers) or (auto and file) or (identifiers and not file):
        raise UsageError("Give a FILE with --id, or --auto without a FILE.", hint="See 'casaprov link --help'.")
    if notebook.is_dir() or zipfile.is_zipfile(notebook):
        return _link_crate(notebook, output, file, identifiers, service)
    if output is not None:
        raise UsageError("--output is for crates.", hint="The links of a notebook lie beside its record.")
    if auto:
        return 0 if look_up_and_store(notebook, service) else _EXIT_NOTHING_FOUND
    with extra("vo"):
        from casaprov.vo.linking import stated
    with extra("jupyter"):
        from casaprov.notebook.export import find_journal, record_of

    document = record_of(notebook)
    links = [stated(document, file or "", text, service) for text in identifiers]
    store_links(find_journal(notebook), [made for _, made in links])
    _show(links)
    return 0


def _link_crate(
    crate: Path, output: Path | None, file: str | None, identifiers: tuple[str, ...], service: str | None
) -> int:
    """Write a copy of a crate with stated identifiers, or with those that its archives have."""
    from casaprov.crate import link_crate
    from casaprov.records.model import Identifier

    if output is None:
        raise UsageError("A crate is linked in a copy of it.", hint="Name the copy with --output.")
    with extra("vo"):
        from casaprov.vo.linking import look_up_inputs, stated
        from casaprov.vo.tap import open_session

    made: list[tuple[Entity, Link]] = []

    def links(document: Document) -> dict[str, tuple[Identifier, ...]]:
        if identifiers:
            made.extend(stated(document, file or "", text, service) for text in identifiers)
        else:
            with open_session() as session:
                made.extend(look_up_inputs(document, session, service))
        found: dict[str, tuple[Identifier, ...]] = {}
        for entity, one in made:
            found[entity.id] = (*found.get(entity.id, ()), *one.identifiers)
        return found

    link_crate(crate, output, links)
    _show(made)
    out.print(plain(f"Written: {output}"), soft_wrap=True)
    return 0 if any(one.identifiers for _, one in made) else _EXIT_NOTHING_FOUND


def look_up_and_store(notebook: Path, service: str | None = None) -> bool:
    """Look up the inputs of a notebook and store the answers; return True if anything was found."""
    with extra("vo"):
        from casaprov.vo.linking import look_up_inputs
        from casaprov.vo.tap import open_session
    with extra("jupyter"):
        from casaprov.notebook.export import find_journal, record_of

    with open_session() as session:
        links = look_up_inputs(record_of(notebook), session, service)
    store_links(find_journal(notebook), [made for _, made in links])
    _show(links)
    return any(made.identifiers for _, made in links)


@contextmanager
def fetching(*, wanted: bool) -> Iterator[Callable[[Document], Mapping[str, Callable[[str], Path | None]]]]:
    """Give a function that makes resolvers on the network from records; without any if fetching is not wanted."""
    if not wanted:
        yield lambda _: {}
        return
    with extra("vo"):
        from casaprov.vo.resolvers import network_resolvers
        from casaprov.vo.tap import open_session

    with open_session() as session:
        yield lambda document: network_resolvers(document, session)


@click.group()
def vo() -> None:
    """Ask archives of the Virtual Observatory.

    \b
    Example:
      casaprov vo find ngc5921.ipynb --tap https://evn-vo.jive.eu/tap
    """


@vo.command()
@click.argument("notebook", type=_notebook)
@_tap
def find(notebook: Path, service: str | None) -> int:
    """Look up the inputs of a notebook, and store nothing.

    \b
    Example:
      casaprov vo find ngc5921.ipynb --tap https://evn-vo.jive.eu/tap
    """
    with extra("vo"):
        from casaprov.vo.linking import look_up_inputs
        from casaprov.vo.tap import open_session
    with extra("jupyter"):
        from casaprov.notebook.export import record_of

    with open_session() as session:
        links = look_up_inputs(record_of(notebook), session, service)
    _show(links)
    return 0 if any(made.identifiers for _, made in links) else _EXIT_NOTHING_FOUND


@vo.command()
@click.argument("url")
def links(url: str) -> None:
    """List the files that a DataLink address leads to.

    \b
    Example:
      casaprov vo links 'https://evn-vo.jive.eu/evn/q/dl/dlmeta?ID=…'
    """
    with extra("vo"):
        from casaprov.vo.datalink import linked_files
        from casaprov.vo.tap import open_session

    with open_session() as session:
        for file in linked_files(url, session):
            size = f"{file.size_bytes} bytes" if file.size_bytes is not None else "size not stated"
            out.print(plain(f"{file.semantics}  {file.url}  {size}"), soft_wrap=True)


@vo.command()
@click.argument("url")
@click.option(
    "-o", "--output", type=_any_path, default=Path(), help="Folder to store the files in; by default this one."
)
@click.option(
    "--max-size", type=Finite(min=0), default=10_000.0, show_default=True, help="Fetch no file larger than this, in MB."
)
def get(url: str, output: Path, max_size: float) -> None:
    """Fetch the data (#this) that a DataLink address leads to.

    \b
    Example:
      casaprov vo get 'https://evn-vo.jive.eu/evn/q/dl/dlmeta?ID=…' -o data
    """
    with extra("vo"):
        from casaprov.vo.datalink import fetch, linked_files
        from casaprov.vo.tap import open_session

    output.mkdir(parents=True, exist_ok=True)
    with open_session() as session:
        for file in linked_files(url, session):
            if file.semantics == "#this":
                path = fetch(file, output, session, max_bytes=int(max_size * 1e6))
                out.print(plain(f"Written: {path}"), soft_wrap=True)


def _show(links: list[tuple[Entity, Link]] | tuple[tuple[Entity, Link], ...]) -> None:
    """Print the identifiers of each input, or the reason why there is none."""
    for entity, made in links:
        for known in made.identifiers:
            ground = f" ({known.confidence}: {known.matched_by})"
            out.print(plain(f"{entity.path}: {known.scheme} {known.value}{ground}"), soft_wrap=True)
        if not made.identifiers:
            asked = ", ".join(
                f"{k.service}: {k.rows} rows for {k.value}, none of them matches" for k in made.archive_queries
            )
            out.print(
                plain(
                    f"{entity.path}: {asked or 'no archive is known for its telescope, or its headers have nothing to look up'}"
                ),
                soft_wrap=True,
            )
    if not links:
        out.print("No input says what was observed, so nothing was looked up.")
