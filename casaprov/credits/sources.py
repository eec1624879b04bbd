"""Sources of credits beside a notebook: for each field, the first source that names it wins.

The order: the command line, ``casaprov.toml`` or ``[tool.casaprov.crate]`` of ``pyproject.toml``, the metadata of the
notebook, ``CITATION.cff``, ``codemeta.json``, ``user.name`` of git. An e-mail address is never taken from any of them.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from casaprov.credits.licences import licence
from casaprov.credits.model import Credits
from casaprov.credits.people import Organization, Person, doi_of, orcid_of, organization, ror_of
from casaprov.credits.repository import git_user
from casaprov.errors import CasaprovError, UsageError

__all__ = ["find_credits", "first_heading", "missing_credits"]

_CRATE_KEYS = {
    "access", "authors", "citations", "description", "funder", "keywords", "license", "publisher",
}  # fmt: skip

_HOW = {
    "authors": ("author", "--author 'NAME <ORCID>', or [[crate.authors]] with name and orcid in casaprov.toml"),
    "license": ("licence", "--license CC-BY-4.0, or license in [crate] of casaprov.toml"),
    "publisher": ("publisher", "--publisher 'NAME <URL>', or publisher in [crate] of casaprov.toml"),
}
"""Fields that a published crate should have: its word, and how it is given."""


_REQUIRED = {"authors": "author", "license": "license", "publisher": "publisher"}
"""Words of ``--require``."""


def find_credits(notebook: Path, metadata: Mapping[str, Any], given: Credits) -> Credits:
    """Return the credits of a notebook.

    Parameters
    ----------
    metadata
        Metadata of the notebook.
    given
        The credits of the command line.

    Raises
    ------
    UsageError
        If a source cannot be read, or names an ORCID, ROR or licence that is none.
    """
    found = given
    unreadable: tuple[type[BaseException], ...] = (CasaprovError, ValueError, OSError, TypeError, KeyError)
    unreadable += (AttributeError, *_yaml_errors())
    for place, read in _sources(notebook, metadata):
        try:
            other = read()
        except unreadable as error:
            message = error.message if isinstance(error, CasaprovError) else f"it cannot be read ({error})."
            raise UsageError(f"{place}: {message}", hint="Correct it, and export again.") from error
        named = {field.name: getattr(other, field.name) for field in fields(Credits)}
        found = replace(found, **{name: value for name, value in named.items() if value and not getattr(found, name)})
    return found


def missing_credits(found: Credits) -> dict[str, str]:
    """Return a sentence for each credit that a published crate should have and lacks, by its word in ``--require``."""
    return {
        _REQUIRED[name]: f"No {word} is named: give {how}."
        for name, (word, how) in _HOW.items()
        if not getattr(found, name)
    }


def first_heading(cells: Sequence[Mapping[str, Any]]) -> str:
    """Return the first heading of a notebook; empty if it has none."""
    for cell in cells:
        source = cell.get("source", "")
        text = "".join(source) if isinstance(source, list) else str(source)
        if cell.get("cell_type") == "markdown":
            for line in text.splitlines():
                if line.startswith("#") and (heading := line.lstrip("#").strip(" #*_`")):
                    return heading[:200]
    return ""


def _sources(notebook: Path, metadata: Mapping[str, Any]) -> Iterator[tuple[str, Callable[[], Credits]]]:
    """Yield each source that is there, with the function that reads it."""
    folders = list(_folders(notebook))
    for folder in folders:
        if (folder / "casaprov.toml").is_file():
            path = folder / "casaprov.toml"
            yield str(path), lambda path=path: _from_table(_toml(path).get("crate", {}))  # type: ignore[misc]
        if (folder / "pyproject.toml").is_file():
            path = folder / "pyproject.toml"
            yield (
                str(path),
                lambda path=path: _from_table(  # type: ignore[misc]
                    _toml(path).get("tool", {}).get("casaprov", {}).get("crate", {})
                ),
            )
    yield f"{notebook} (metadata)", lambda: _from_notebook(metadata)
    for folder in folders:
        if (folder / "CITATION.cff").is_file():
            path = folder / "CITATION.cff"
            yield str(path), lambda path=path: _from_cff(path)  # type: ignore[misc]
        if (folder / "codemeta.json").is_file():
            path = folder / "codemeta.json"
            yield str(path), lambda path=path: _from_codemeta(json.loads(path.read_text("utf-8")))  # type: ignore[misc]
    yield "git", lambda: Credits(authors=tuple(Person(name=name) for name in git_user(notebook.parent)))


def _folders(notebook: Path) -> Iterator[Path]:
    """Yield the folder of the notebook, and those above it in the same repository."""
    folder = notebook.resolve().parent
    above = [folder, *folder.parents]
    roots = [number for number, one in enumerate(above) if (one / ".git").exists()]
    yield from above[: roots[0] + 1] if roots else [folder]


def _toml(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text("utf-8"))


def _from_table(table: Mapping[str, Any]) -> Credits:
    """Return the credits in ``[crate]``."""
    if unknown := sorted(table.keys() - _CRATE_KEYS):
        raise UsageError(f"[crate] knows no {', '.join(unknown)}.", hint=f"It knows {', '.join(sorted(_CRATE_KEYS))}.")
    return Credits(
        authors=tuple(map(_author, table.get("authors", ()))),
        publisher=organization(table["publisher"]) if "publisher" in table else None,
        license=licence(table["license"]).name if "license" in table else "",
        description=str(table.get("description", "")),
        keywords=_texts(table.get("keywords", ())),
        funders=tuple(map(organization, _texts(table.get("funder", ())))),
        citations=tuple(map(doi_of, _texts(table.get("citations", ())))),
        conditions_of_access=str(table.get("access", "")),
    )


def _author(table: Mapping[str, Any]) -> Person:
    """Return an author by ``name``, ``orcid``, ``affiliation`` and ``ror``."""
    name = str(table["name"]).strip()
    if not name:
        raise UsageError("An author has no name.", hint="Give each author a name.")
    affiliation, ror = str(table.get("affiliation", "")), str(table.get("ror", ""))
    orcid = str(table.get("orcid", ""))
    return Person(
        name=name,
        orcid=orcid_of(orcid) if orcid else "",
        given_name=str(table.get("given-names", "")),
        family_name=str(table.get("family-names", "")),
        affiliation=Organization(name=affiliation or ror, url=ror_of(ror) if ror else "")
        if affiliation or ror
        else None,
    )


def _from_notebook(metadata: Mapping[str, Any]) -> Credits:
    """Return the credits in the metadata of a notebook; its format has ``authors`` with ``name``."""
    authors = [one if isinstance(one, dict) else {"name": one} for one in metadata.get("authors", ())]
    return Credits(authors=tuple(_author(one) for one in authors if one.get("name")))


def _from_cff(path: Path) -> Credits:
    import yaml

    data = yaml.safe_load(path.read_text("utf-8")) or {}
    authors = []
    for one in data.get("authors", ()):
        parts = [one.get(key, "") for key in ("given-names", "name-particle", "family-names")]
        name = one.get("name") or one.get("alias") or " ".join(filter(None, parts))
        authors.append(_author({**one, "name": name}))
    stated = data.get("license", "")
    return Credits(
        authors=tuple(authors),
        license=licence(stated).name if isinstance(stated, str) and stated else "",
        description=str(data.get("abstract", "")),
        keywords=_texts(data.get("keywords", ())),
    )


def _from_codemeta(data: Mapping[str, Any]) -> Credits:
    authors = data.get("author", ())
    people = []
    for one in authors if isinstance(authors, list) else [authors]:
        parts = filter(None, (one.get("givenName", ""), one.get("familyName", "")))
        identifier = str(one.get("@id") or one.get("id") or "")
        orcid = identifier if "orcid.org" in identifier else ""
        institute = one.get("affiliation")
        affiliation = institute.get("name", "") if isinstance(institute, dict) else institute or ""
        address = str(institute.get("@id") or institute.get("id") or "") if isinstance(institute, dict) else ""
        people.append(
            _author(
                {
                    "name": one.get("name") or " ".join(parts),
                    "given-names": one.get("givenName", ""),
                    "family-names": one.get("familyName", ""),
                    "orcid": orcid,
                    "affiliation": affiliation,
                    "ror": address if "ror.org" in address else "",
                }
            )
        )
    stated = data.get("license", "")
    keywords = data.get("keywords", ())
    return Credits(
        authors=tuple(people),
        license=licence(stated).name if isinstance(stated, str) and stated else "",
        description=str(data.get("description", "")),
        keywords=_texts(keywords.split(",") if isinstance(keywords, str) else keywords),
    )


def _yaml_errors() -> tuple[type[BaseException], ...]:
    """Return the errors of the YAML library; none where it is not installed."""
    try:
        import yaml
    except ImportError:
        return ()
    return (yaml.YAMLError,)


def _texts(values: Any) -> tuple[str, ...]:
    return tuple(
        str(value).strip() for value in ([values] if isinstance(values, str) else values) if str(value).strip()
    )
