"""Credits kept in ``casaprov.toml`` beside a notebook, in the text that a user may have written there already."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

from casaprov.credits.model import Credits
from casaprov.credits.people import ROR, Organization, Person
from casaprov.errors import UsageError

__all__ = ["keep_credits"]

_CRATE = re.compile(r"^[ \t]*\[[ \t]*crate[ \t]*\][ \t]*(#.*)?$", re.MULTILINE)


def keep_credits(notebook: Path, credits: Credits) -> Path:  # noqa: A002 - the word of films and crates
    """Add authors, licence and publisher to ``casaprov.toml`` beside a notebook, and return its path.

    Raises
    ------
    UsageError
        If the file states one of them already, or has a form that cannot be added to.
    """
    path = notebook.resolve().parent / "casaprov.toml"
    old = path.read_text("utf-8") if path.exists() else ""
    statements = list(_statements(credits))
    authors = "".join(f"\n[[crate.authors]]\n{_lines(_author(person))}" for person in credits.authors)
    if not statements:
        new = old
    elif found := _CRATE.search(old):
        new = old[: found.end()] + "\n" + _lines(statements).rstrip("\n") + old[found.end() :]
    else:
        new = f"{_ended(old)}[crate]\n{_lines(statements)}"
    new = f"{_ended(new)}{authors.lstrip() if not new else authors}"
    try:
        tomllib.loads(new)
    except tomllib.TOMLDecodeError as error:
        wanted = f"[crate]\n{_lines(statements)}{authors}"
        raise UsageError(f"{path} cannot be added to ({error}).", hint=f"Write into it: {wanted}") from error
    part = path.with_name(f".{path.name}.part")
    part.write_text(new, encoding="utf-8")
    part.replace(path)
    return path


def _statements(credits: Credits) -> Iterator[tuple[str, str]]:  # noqa: A002 - see above
    if credits.license:
        yield "license", credits.license
    if credits.publisher is not None:
        yield "publisher", _organization(credits.publisher)


def _author(person: Person) -> Iterator[tuple[str, str]]:
    yield "name", person.name
    if person.orcid:
        yield "orcid", person.orcid
    if person.affiliation is not None:
        yield "affiliation", person.affiliation.name
        if person.affiliation.url.startswith(ROR):
            yield "ror", person.affiliation.url


def _organization(organization: Organization) -> str:
    return f"{organization.name} <{organization.url}>" if organization.url else organization.name


def _lines(pairs: Iterable[tuple[str, str]]) -> str:
    # A string of JSON is one of TOML, but for one control character that no name has.
    return "".join(f"{key} = {json.dumps(text, ensure_ascii=False)}\n" for key, text in pairs)


def _ended(text: str) -> str:
    return text if not text or text.endswith("\n") else f"{text}\n"
