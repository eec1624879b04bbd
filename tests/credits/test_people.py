"""People and organizations as users write them."""

from __future__ import annotations

import pytest

from casaprov.credits.people import Organization, Person, orcid_of, organization, person, ror_of
from casaprov.errors import UsageError


@pytest.mark.parametrize(
    "orcid", ["0000-0002-1825-0097", "https://orcid.org/0000-0001-5109-3700", "0000-0002-1694-233x"]
)
def test_an_orcid_with_its_checksum_is_an_address(orcid: str) -> None:
    assert orcid_of(orcid) == f"https://orcid.org/{orcid[-19:].upper()}"


@pytest.mark.parametrize("orcid", ["0000-0002-1825-0096", "0000-0002-1694-2330", "0000-0002-1825", "x", ""])
def test_anything_else_is_refused(orcid: str) -> None:
    with pytest.raises(UsageError, match="is no ORCID"):
        orcid_of(orcid)


def test_a_name_goes_before_its_address() -> None:
    assert person("Jane Doe") == Person(name="Jane Doe")
    assert person(" Jane Doe <0000-0002-1825-0097> ").orcid == "https://orcid.org/0000-0002-1825-0097"
    assert organization("JIVE <02mw21h04>") == Organization(name="JIVE", url="https://ror.org/02mw21h04")
    assert organization("An archive <https://a.example.org/x>").url == "https://a.example.org/x"


@pytest.mark.parametrize("text", ["", "<0000-0002-1825-0097>", "a <b> c", "x\x1b[31m"])
def test_what_names_nobody_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        person(text)


def test_a_ror_has_one_form() -> None:
    assert ror_of("https://ror.org/05a28rw58") == "https://ror.org/05a28rw58"
    with pytest.raises(UsageError, match="is no ROR"):
        ror_of("05a28rw5")
