"""Commands that write crates: ``export`` with its options, and ``annotate`` and ``sign``, which add to a crate."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from urllib.parse import quote

import click

from casaprov.cli.console import Finite, err, extra, leaving, opened_digester, out, progress_bar, show
from casaprov.cli.terminal import plain
from casaprov.cli.vo import look_up_and_store
from casaprov.errors import UsageError

if TYPE_CHECKING:
    from casaprov.casa.image_fits import FitsMaker
    from casaprov.crate import Packed
    from casaprov.credits.model import Credits
    from casaprov.credits.people import Person
    from casaprov.descriptions.environment import FindHashes
    from casaprov.digests.digester import Digester
    from casaprov.digests.parallel import Observes

__all__ = [
    "annotate",
    "ask_credits",
    "check_descriptions",
    "credit_options",
    "export",
    "given_credits",
    "required_credits",
    "sign",
    "write_descriptions",
]

_notebook = click.Path(dir_okay=False, path_type=Path)
_any_path = click.Path(path_type=Path)

F = TypeVar("F", bound=Callable[..., Any])

_EXTENTS = ("minimal", "products", "inputs", "all")
_REQUIRED = ("author", "license", "publisher")
_OPTIONS = (
    click.option("--author", "authors", multiple=True, metavar="NAME [<ORCID>]", help="An author; repeatable."),
    click.option("--license", "license_", default="", metavar="SPDX", help="Licence of the crate, such as CC-BY-4.0."),
    click.option("--publisher", default="", metavar="NAME [<URL>]", help="The publisher, with its ROR or page."),
    click.option("--keyword", "keywords", multiple=True, help="A keyword; repeatable."),
    click.option("--require", default="", metavar="LIST", help="Refuse if one is not named: author,license,publisher."),
    click.option(
        "--ask", is_flag=True, help="Ask for an author, licence and publisher, and keep them in casaprov.toml."
    ),
)
_DESCRIPTIONS = (
    click.option("--datacite", type=_notebook, metavar="JSON", help="Describe the crate by DataCite 4.5 in this file."),
    click.option(
        "--codemeta", type=_notebook, metavar="JSON", help="Describe the notebook by CodeMeta 3.0 in this file."
    ),
    click.option(
        "--obscore", type=_notebook, metavar="XML", help="List the products for an archive by ObsCore in this file."
    ),
    click.option(
        "--datalink", type=_notebook, metavar="XML", help="Link the crate with its inputs by DataLink in this file."
    ),
    click.option(
        "--at", "address", default="", metavar="URL", help="Address of the crate in --obscore and --datalink."
    ),
)


def credit_options(function: F) -> F:
    """Add the options for people and rights to a command."""
    return _with_options(function, _OPTIONS)


def description_options(function: F) -> F:
    """Add the options for descriptions to a command."""
    return _with_options(function, _DESCRIPTIONS)


def _with_options(function: F, options: tuple[Callable[[F], F], ...]) -> F:
    for option in reversed(options):
        function = option(function)
    return function


@click.command()
@click.argument("notebook", type=_notebook)
@click.option("-o", "--output", type=_notebook, help="The crate to write; by default NOTEBOOK.crate.zip beside it.")
@click.option("--overwrite", is_flag=True, help="Replace an earlier crate of that name.")
@click.option(
    "--max-size", type=Finite(min=0), default=50.0, show_default=True, help="Ship no product larger than this, in MB."
)
@click.option("--with-visibilities", is_flag=True, help="Ship MeasurementSets too.")
@click.option("--with-inputs", is_flag=True, help="Ship external inputs too.")
@click.option(
    "--with-observed", is_flag=True, help="Ship files too that changed while calls ran and may not be their products."
)
@click.option(
    "--include",
    "included",
    multiple=True,
    metavar="WORD|PATTERN",
    help="minimal, products (the default), inputs or all; or a pattern of paths such as '*.fits'; repeatable.",
)
@click.option("--fits", "as_fits", is_flag=True, help="Make FITS files of the final images, and ship them too.")
@click.option("--lock", is_flag=True, help="Pin what ran by the hashes that the package index states; it is asked now.")
@click.option("--max-bytes", metavar="SIZE", help="Ship no more than this in all, such as '2 GB'.")
@click.option("--title", help="Title of the crate; by default the notebook's first heading, or its name.")
@click.option("--with-observer", is_flag=True, help="Name the observer that headers state; it is left out otherwise.")
@click.option(
    "--vo", "look_up", is_flag=True, help="Look the inputs up in their archives first: 'casaprov link --auto'."
)
@click.option("--redact", is_flag=True, help="Put masks in place of tokens and passwords.")
@click.option("--allow", is_flag=True, help="Pack what looks like a token or a password.")
@click.option("--keep-paths", is_flag=True, help="Keep the home folder in paths, and the name of the machine.")
@click.option("--with", "wanted", default="", metavar="LIST", help="Add files to the crate: codemeta,reana.")
@click.option(
    "--profile",
    type=click.Choice(["0.5", "0.6"]),
    default="0.5",
    show_default=True,
    help="Version of Workflow Run Crate.",
)
@credit_options
@description_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
def export(
    *,
    notebook: Path,
    output: Path | None,
    overwrite: bool,
    max_size: float,
    with_visibilities: bool,
    with_inputs: bool,
    with_observed: bool,
    included: tuple[str, ...],
    as_fits: bool,
    lock: bool,
    max_bytes: str | None,
    title: str | None,
    with_observer: bool,
    look_up: bool,
    redact: bool,
    allow: bool,
    keep_paths: bool,
    as_json: bool,
    wanted: str,
    profile: Literal["0.5", "0.6"],
    require: str,
    ask: bool,
    datacite: Path | None,
    codemeta: Path | None,
    obscore: Path | None,
    datalink: Path | None,
    address: str,
    **named: Any,
) -> None:
    """Pack a notebook or a script and its record into an RO-Crate.

    \b
    Example:
      casaprov export ngc5921.ipynb -o ngc5921.crate.zip
    """
    given, required = given_credits(**named), required_credits(require)
    extent, patterns = _included(included)
    extras = _extras(wanted)
    limit = _size(max_bytes) if max_bytes is not None else None
    descriptions = {"datacite": datacite, "codemeta": codemeta, "obscore": obscore, "datalink": datalink}
    with extra("jupyter"):
        from casaprov.notebook.export import crate_name, export_notebook
    from casaprov.cli.render import packed_view
    from casaprov.config import load_config
    from casaprov.crates.payload import PayloadPolicy
    from casaprov.credits.people import web_address
    from casaprov.privacy.clearance import PrivacyPolicy

    if redact and allow:
        raise UsageError("--redact and --allow contradict each other.", hint="Give one of them.")
    crate = output or crate_name(notebook)
    check_descriptions(descriptions, notebook, crate)
    if address:
        web_address(address)
    if ask:
        ask_credits(notebook, given)
    if look_up:
        look_up_and_store(notebook)

    policy = PayloadPolicy(
        max_item_bytes=sys.maxsize if extent == "all" else int(max_size * 1e6),
        max_kept_bytes=load_config(notebook.absolute().parent).keep_up_to,
        ship_visibilities=with_visibilities or extent == "all",
        ship_inputs=with_inputs or extent in ("inputs", "all"),
        ship_products=extent != "minimal",
        patterns=patterns,
        max_bytes=limit,
    )
    observes: Observes = "headers and observer" if with_observer else "headers"
    with (
        leaving(f"The crate {crate} was not written."),
        opened_digester(observes) as digester,
        progress_bar(crate.name) as on_progress,
    ):
        packed = export_notebook(
            notebook,
            crate,
            policy=policy,
            measure=digester.measure,
            overwrite=overwrite,
            title=title,
            given=given,
            required=required,
            with_observer=with_observer,
            with_observed=with_observed,
            privacy=PrivacyPolicy(redact=redact, allow=allow, keep_paths=keep_paths),
            quick_looks=digester.quick_looks,
            extras=extras,
            make_fits=_fits_maker(digester) if as_fits else None,
            find_hashes=_hash_finder() if lock else None,
            on_progress=on_progress,
            profile=profile,
        )
    write_descriptions(packed, descriptions, address)
    show(packed, as_json, packed_view)
    for note in packed.notes:
        err.print(f"[yellow]{plain(note)}[/]", soft_wrap=True)


@click.command()
@click.argument("crate", type=_any_path)
@click.option(
    "-o", "--output", type=_any_path, required=True, help="The new crate: a .zip file, or a folder if CRATE is one."
)
@click.option("--doi", default="", help="DOI of the deposit.")
@click.option("--title", default="", help="Title of the crate.")
@click.option("--description", default="", help="Description of the crate.")
@click.option("--publisher", default="", metavar="NAME [<URL>]", help="The archive or journal, with its ROR or page.")
@click.option("--author", "authors", multiple=True, metavar="NAME [<ORCID>]", help="An author to add; repeatable.")
@click.option("--license", "license_", default="", metavar="SPDX", help="Licence of the crate, such as CC-BY-4.0.")
@click.option("--keyword", "keywords", multiple=True, help="A keyword to add; repeatable.")
@click.option("--funder", "funders", multiple=True, metavar="NAME [<URL>]", help="A funder to add; repeatable.")
@click.option("--citation", "citations", multiple=True, metavar="DOI", help="A paper or data set to cite; repeatable.")
@click.option("--part-of", "parts_of", multiple=True, metavar="URL", help="A collection it belongs to; repeatable.")
@click.option("--published", default="", metavar="YYYY-MM-DD", help="Date of publication.")
@click.option("--access", default="", help="Conditions of access, as a sentence.")
@click.option("--repair", is_flag=True, help="Write the context again that RO-Crate libraries drop.")
def annotate(
    *,
    crate: Path,
    output: Path,
    doi: str,
    title: str,
    description: str,
    publisher: str,
    authors: tuple[str, ...],
    license_: str,
    keywords: tuple[str, ...],
    funders: tuple[str, ...],
    citations: tuple[str, ...],
    parts_of: tuple[str, ...],
    published: str,
    access: str,
    repair: bool,
) -> None:
    """Write a copy of a crate with a DOI, a publisher, authors, a licence.

    Records, notebook and products stay as they are, byte by byte; the crate
    stays valid and replayable.

    \b
    Example:
      casaprov annotate ngc5921.crate.zip --doi 10.5281/zenodo.1234567 -o published.crate.zip
    """
    from casaprov.crate import annotate_crate
    from casaprov.crates.annotation import Annotation
    from casaprov.credits.licences import licence
    from casaprov.credits.people import doi_of, organization, person, web_address

    annotation = Annotation(
        doi=doi_of(doi) if doi else "",
        title=title.strip(),
        description=description.strip(),
        publisher=organization(publisher) if publisher else None,
        license=licence(license_) if license_ else None,
        date_published=_date(published) if published else "",
        conditions_of_access=access.strip(),
        authors=tuple(map(person, authors)),
        funders=tuple(map(organization, funders)),
        keywords=tuple(keyword.strip() for keyword in keywords if keyword.strip()),
        citations=tuple(map(doi_of, citations)),
        parts_of=tuple(map(web_address, parts_of)),
        repair=repair,
    )
    if annotation == Annotation():
        raise UsageError(
            "There is nothing to write into the crate.", hint="Give --doi, --publisher, --author or --license."
        )
    annotate_crate(crate, output, annotation)
    out.print(f"Written: {plain(str(output))}", soft_wrap=True)


@click.command()
@click.argument("crate", type=_any_path)
@click.option("--key", type=_any_path, required=True, help="Private key of SSH, or public key of one in your agent.")
@click.option(
    "-o", "--output", type=_any_path, required=True, help="The new crate: a .zip file, or a folder if CRATE is one."
)
def sign(*, crate: Path, key: Path, output: Path) -> None:
    """Write a copy of a crate with a signature of its records and files.

    The description is not signed, so an archive may add a DOI. Others check
    the signature with 'casaprov validate --signed-by'.

    \b
    Example:
      casaprov sign ngc5921.crate.zip --key ~/.ssh/id_ed25519 -o signed.crate.zip
    """
    from casaprov.crate import sign_crate

    sign_crate(crate, output, key)
    out.print(f"Written: {plain(str(output))}", soft_wrap=True)


def _date(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError as error:
        raise UsageError(f"{text!r} is no date.", hint="Write it like 2026-12-31.") from error


def _included(words: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """Return the word for the extent of a crate, and the patterns of paths."""
    extents = [word for word in words if word in _EXTENTS]
    if len(extents) > 1:
        raise UsageError(f"--include {' and '.join(extents)} contradict each other.", hint="Give one of them.")
    return (extents or ["products"])[0], tuple(word for word in words if word not in _EXTENTS)


def _fits_maker(digester: Digester) -> FitsMaker:
    with extra("casa"):
        from casaprov.casa.image_fits import FitsMaker

    return FitsMaker(digester.measure)


def _hash_finder() -> FindHashes:
    with extra("vo"):
        from casaprov.package_index.hashes import file_hashes

    return file_hashes


def _extras(text: str) -> tuple[str, ...]:
    from casaprov.descriptions.extras import ON_DEMAND

    words = tuple(word.strip() for word in text.split(",") if word.strip())
    if unknown := [word for word in words if word not in ON_DEMAND]:
        raise UsageError(f"--with knows no {', '.join(unknown)}.", hint=f"It knows {', '.join(ON_DEMAND)}.")
    return words


def _size(text: str) -> int:
    from casaprov.config import size_of

    try:
        return size_of(text)
    except ValueError as error:
        raise UsageError(f"{text!r} is no size.", hint="Write it like '2 GB'.") from error


def given_credits(*, authors: tuple[str, ...], license_: str, publisher: str, keywords: tuple[str, ...]) -> Credits:
    """Return the credits that the options name.

    Raises
    ------
    UsageError
        If one of them is wrong.
    """
    from casaprov.credits.licences import licence
    from casaprov.credits.model import Credits
    from casaprov.credits.people import organization, person

    return Credits(
        authors=tuple(map(person, authors)),
        license=licence(license_).name if license_ else "",
        publisher=organization(publisher) if publisher else None,
        keywords=tuple(keyword.strip() for keyword in keywords if keyword.strip()),
    )


def required_credits(text: str) -> tuple[str, ...]:
    """Return the words of ``--require``.

    Raises
    ------
    UsageError
        If one of them is unknown.
    """
    words = tuple(word.strip() for word in text.split(",") if word.strip())
    if unknown := [word for word in words if word not in _REQUIRED]:
        raise UsageError(f"--require knows no {', '.join(unknown)}.", hint=f"It knows {', '.join(_REQUIRED)}.")
    return words


def ask_credits(notebook: Path, given: Credits) -> None:
    """Ask for an author, a licence and a publisher, as far as none is known, and keep the answers in ``casaprov.toml``.

    Raises
    ------
    UsageError
        If a source cannot be read, or the input ends before an answer.
    """
    from casaprov.credits.keeping import keep_credits
    from casaprov.credits.licences import licence
    from casaprov.credits.model import Credits
    from casaprov.credits.people import orcid_of, organization
    from casaprov.credits.repository import git_user
    from casaprov.credits.sources import find_credits

    with extra("jupyter"):
        from casaprov.notebook.ipynb import read_notebook

    found = find_credits(notebook, read_notebook(notebook).metadata, given)
    names = [author.name for author in found.authors]
    name = orcid = institute = license_ = publisher = ""
    if not names or names == git_user(notebook.parent):
        name = _answer("Author", str, "".join(names))
        orcid = _answer(f"ORCID of {name}", orcid_of) if name else ""
        institute = _answer("Affiliation, as NAME <ROR>", _organization) if name else ""
    if not found.license:
        license_ = _answer("Licence, such as CC-BY-4.0", lambda text: licence(text).name)
    if found.publisher is None:
        publisher = _answer("Publisher, as NAME <URL>", _organization)
    answers = Credits(
        authors=_author(name, orcid, institute),
        license=license_,
        publisher=organization(publisher) if publisher else None,
    )
    if answers != Credits():
        path = keep_credits(notebook, answers)
        err.print(f"Kept in {plain(str(path))}.", soft_wrap=True)


def _author(name: str, orcid: str, institute: str) -> tuple[Person, ...]:
    from casaprov.credits.people import Person, organization

    if not name:
        return ()
    return (Person(name=name, orcid=orcid, affiliation=organization(institute) if institute else None),)


def _organization(text: str) -> str:
    """Return a text that names an organization as it is."""
    from casaprov.credits.people import organization

    organization(text)
    return text


def _answer(question: str, check: Callable[[str], str], default: str = "") -> str:
    """Return a checked answer; empty if none was given."""

    def checked(text: str) -> str:
        try:
            return check(text.strip()) if text.strip() else ""
        except UsageError as error:
            raise click.BadParameter(f"{error.message} {error.hint}") from error

    try:
        shown = f"{plain(question)} (empty: none)" if not default else plain(question)
        answer: str = click.prompt(shown, default=default, show_default=bool(default), value_proc=checked, err=True)
    except click.Abort as error:
        raise UsageError(
            "The input ended before an answer.", hint="Answer at a terminal, or leave out --ask."
        ) from error
    return answer


def check_descriptions(wanted: Mapping[str, Path | None], notebook: Path, crate: Path) -> None:
    """Refuse to write a description over another file.

    Raises
    ------
    UsageError
        If a file is named twice, has no folder, or exists and is none of casaprov's descriptions.
    """
    taken = {notebook.resolve(), crate.resolve()}
    for option, path in wanted.items():
        if path is None:
            continue
        hint = f"Name another file with --{option}."
        if path.resolve() in taken or not path.parent.is_dir():
            why = "is named twice" if path.parent.is_dir() else "lies in a folder that does not exist"
            raise UsageError(f"The description cannot be written: {path} {why}.", hint=hint)
        if path.exists() and b"casaprov" not in path.read_bytes():
            raise UsageError(f"{path} exists and was not written by casaprov; it is not replaced.", hint=hint)
        taken.add(path.resolve())


def write_descriptions(packed: Packed, wanted: Mapping[str, Path | None], address: str = "") -> None:
    """Write the descriptions of a crate that were asked for.

    Parameters
    ----------
    address
        Address that the crate will be published at; by default the name of its file, as a relative one.
    """
    files = {option: path for option, path in wanted.items() if path is not None}
    if not files:
        return
    from casaprov.crates.stored_records import written_records
    from casaprov.descriptions.codemeta import codemeta_record
    from casaprov.descriptions.datacite import datacite_record

    document, manifest = written_records(packed.path)
    size, where = packed.size_bytes, address or quote(packed.path.name)
    if path := files.get("datacite"):
        _write_json(path, datacite_record(document, manifest, digest=packed.digest, size_bytes=size))
    if path := files.get("codemeta"):
        _write_json(path, codemeta_record(document, manifest))
    if files.keys() & {"obscore", "datalink"}:
        with extra("vo"):
            from casaprov.vo.votables import write_links, write_observed_products

        if path := files.get("obscore"):
            write_observed_products(path, document, manifest, address=where, size_bytes=size)
        if path := files.get("datalink"):
            write_links(path, document, manifest, address=where, size_bytes=size)


def _write_json(path: Path, record: Mapping[str, Any]) -> None:
    text = json.dumps(record, indent=2, ensure_ascii=False)
    path.write_text(f"{text}\n", encoding="utf-8", errors="replace")
