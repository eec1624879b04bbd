"""Options that name the people and rights of a crate."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from casaprov.errors import UsageError

if TYPE_CHECKING:
    from casaprov.credits.model import Credits

__all__ = ["credit_options", "given_credits", "required_credits"]

F = TypeVar("F", bound=Callable[..., Any])

_REQUIRED = ("author", "license", "publisher")
_OPTIONS = (
    click.option("--author", "authors", multiple=True, metavar="NAME [<ORCID>]", help="An author; repeatable."),
    click.option("--license", "license_", default="", metavar="SPDX", help="Licence of the crate, such as CC-BY-4.0."),
    click.option("--publisher", default="", metavar="NAME [<URL>]", help="The publisher, with its ROR or page."),
    click.option("--keyword", "keywords", multiple=True, help="A keyword; repeatable."),
    click.option("--require", default="", metavar="LIST", help="Refuse if one is not named: author,license,publisher."),
)


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
