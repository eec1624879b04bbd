"""``casaprov annotate`` and ``casaprov sign``: statements and signatures that are added to a crate; options for credits."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from casaprov.cli.console import out
from casaprov.cli.terminal import plain
from casaprov.errors import UsageError

if TYPE_CHECKING:
    from casaprov.credits.model import Credits

__all__ = ["annotate", "credit_options", "given_credits", "required_credits", "sign"]

_any_path = click.Path(path_type=Path)

F = TypeVar("F", bound=Callable[..., Any])

_REQUIRED = ("author", "license", "publisher")
_OPTIONS = (
    click.option("--author", "authors", multiple=True, metavar="NAME [<ORCID>]", help="An author; repeatable."),
    click.option("--license", "license_", default="", metavar="SPDX", help="Licence of the crate, such as CC-BY-4.0."),
    click.option("--publisher", default="", metavar="NAME [<URL>]", help="The publisher, with its ROR or page."),
    click.option("--keyword", "keywords", multiple=True, help="A keyword; repeatable."),
    click.option("--require", default="", metavar="LIST", help="Refuse if one is not named: author,license,publisher."),
)


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


def credit_options(function: F) -> F:
    """Add the options to a command."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


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
