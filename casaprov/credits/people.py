"""People and organizations, as a user names them: ``Jane Doe <0000-0002-1825-0097>``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from casaprov.errors import UsageError

__all__ = [
    "ORCID",
    "ROR",
    "Organization",
    "Person",
    "doi_of",
    "orcid_of",
    "organization",
    "person",
    "ror_of",
    "web_address",
]

ORCID = "https://orcid.org/"
ROR = "https://ror.org/"

_NAMED = re.compile(r"\s*(?P<name>[^<>]*?)\s*(?:<\s*(?P<address>[^<>]*?)\s*>\s*)?")
_ORCID = re.compile(r"(?:https?://(?:www\.)?orcid\.org/)?(\d{4}-\d{4}-\d{4}-\d{3}[\dXx])/?")
_ROR = re.compile(r"(?:https?://ror\.org/)?(0[a-hj-km-np-tv-z0-9]{6}\d{2})/?")
_DOI = re.compile(r"(?:https?://(?:dx\.)?doi\.org/|doi:)?(10\.\d{4,9}/[^\s\"<>]+)", re.IGNORECASE)
_WEB = re.compile(r"https?://[^\s<>\"]+\.[^\s<>\"]+")


@dataclass(frozen=True, kw_only=True)
class Organization:
    """An institute, publisher or funder.

    Attributes
    ----------
    url
        Its ROR, or the address of its page; empty if neither is known.
    """

    name: str
    url: str = ""


@dataclass(frozen=True, kw_only=True)
class Person:
    """An author.

    Attributes
    ----------
    orcid
        The ORCID as an URL; empty if it is not known.
    given_name, family_name
        The parts of the name, if they are known.
    """

    name: str
    orcid: str = ""
    given_name: str = ""
    family_name: str = ""
    affiliation: Organization | None = None


def person(text: str) -> Person:
    """Return the person that a text names: a name, with an ORCID in angle brackets if there is one.

    Raises
    ------
    UsageError
        If there is no name, or the ORCID is wrong.
    """
    name, address = _parts(text, "an author", "'Jane Doe <0000-0002-1825-0097>'")
    return Person(name=name, orcid=orcid_of(address) if address else "")


def organization(text: str) -> Organization:
    """Return the organization that a text names: a name, with a ROR or an address in angle brackets if there is one.

    Raises
    ------
    UsageError
        If there is no name, or the address is neither.
    """
    name, address = _parts(text, "an organization", "'An institute <https://ror.org/05a28rw58>'")
    if not address:
        return Organization(name=name)
    return Organization(name=name, url=ror_of(address) if _ROR.fullmatch(address) else web_address(address))


def orcid_of(text: str) -> str:
    """Return an ORCID as an URL.

    Raises
    ------
    UsageError
        If it has another form, or its last character is not the checksum of the others (ISO 7064, MOD 11-2).
    """
    orcid = _identifier(text, _ORCID, "ORCID", "An ORCID has the form 0000-0002-1825-0097.").upper()
    digits = orcid.replace("-", "")
    total = 0
    for digit in digits[:-1]:
        total = (total + int(digit)) * 2
    check = (12 - total % 11) % 11
    if digits[-1] != ("X" if check == 10 else str(check)):
        raise UsageError(f"{text!r} is no ORCID: its checksum is wrong.", hint="Compare it with the page of its owner.")
    return ORCID + orcid


def ror_of(text: str) -> str:
    """Return the ROR of an institute as an URL.

    Raises
    ------
    UsageError
        If it has another form.
    """
    return ROR + _identifier(text, _ROR, "ROR", "A ROR has the form https://ror.org/05a28rw58.")


def doi_of(text: str) -> str:
    """Return a DOI as an URL.

    Raises
    ------
    UsageError
        If it has another form.
    """
    return f"https://doi.org/{_identifier(text, _DOI, 'DOI', 'A DOI has the form 10.5281/zenodo.1234567.')}"


def web_address(text: str) -> str:
    """Return an address that begins with ``https://`` or ``http://``.

    Raises
    ------
    UsageError
        If it does not.
    """
    if not _WEB.fullmatch(text.strip()):
        raise UsageError(f"{text!r} is no address of a page.", hint="Give one that begins with https://.")
    return text.strip()


def _parts(text: str, wanted: str, example: str) -> tuple[str, str]:
    found = _NAMED.fullmatch(text)
    if found is None or not found["name"] or not found["name"].isprintable():
        raise UsageError(f"{text!r} does not name {wanted}.", hint=f"Write it like {example}.")
    return found["name"], found["address"] or ""


def _identifier(text: str, pattern: re.Pattern[str], kind: str, hint: str) -> str:
    """Return an identifier without the address before it."""
    found = pattern.fullmatch(text.strip())
    if found is None:
        raise UsageError(f"{text!r} is no {kind}.", hint=hint)
    return str(found[1])
