"""The description of a crate by DataCite 4.5 (https://schema.datacite.org/meta/kernel-4.5/)."""

from __future__ import annotations

from typing import Any

from casaprov.archive.deposits import Deposit, Kind
from casaprov.archive.publication.metadata.addresses import (
    CRATE_TYPE,
    NOTEBOOK_TYPE,
    license_url,
    page_url,
)
from casaprov.archive.settings import Settings

__all__ = ["UNKNOWN_CREATOR", "creators", "datacite_record", "orcid_url"]

UNKNOWN_CREATOR = "(:unav)"
"""DataCite's word for a creator that nobody named."""

_ORCID = "https://orcid.org"


def datacite_record(settings: Settings, deposit: Deposit, versions: tuple[Deposit, ...] = ()) -> dict[str, Any]:
    """Return the description of a published version, valid by the JSON schema of DataCite 4.5.

    Parameters
    ----------
    versions
        All published versions of the same crate.
    """
    assert deposit.published_at is not None
    kind = "RO-Crate of a CASA notebook" if deposit.kind is Kind.CRATE else "Jupyter notebook"
    record: dict[str, Any] = {
        "schemaVersion": "http://datacite.org/schema/kernel-4",
        "alternateIdentifiers": [
            {"alternateIdentifier": page_url(settings, deposit), "alternateIdentifierType": "URL"},
            {"alternateIdentifier": deposit.did, "alternateIdentifierType": "IVOID"},
            {"alternateIdentifier": deposit.sha256, "alternateIdentifierType": "SHA-256"},
        ],
        "creators": [_creator(creator) for creator in creators(deposit)],
        "titles": [{"title": deposit.title or deposit.filename or deposit.name}],
        "publisher": {"name": settings.publisher},
        "publicationYear": str(deposit.published_at.year),
        "types": {"resourceTypeGeneral": "ComputationalNotebook", "resourceType": kind},
        "subjects": [{"subject": deposit.obs_id}, {"subject": "radio astronomy"}],
        "dates": [
            {"date": deposit.received_at.date().isoformat(), "dateType": "Submitted"},
            {"date": deposit.published_at.date().isoformat(), "dateType": "Issued"},
        ],
        "url": page_url(settings, deposit),
        "sizes": [f"{deposit.size_bytes} bytes"],
        "formats": [CRATE_TYPE if deposit.kind is Kind.CRATE else NOTEBOOK_TYPE],
        "version": str(deposit.version),
        "relatedIdentifiers": [*_versions(settings, deposit, versions), *_inputs(deposit)],
    }
    if deposit.doi:
        record["doi"] = deposit.doi
    if deposit.license:
        rights = {"rights": deposit.license, "rightsUri": license_url(deposit.license)}
        if not deposit.license.startswith("http"):
            rights |= {"rightsIdentifier": deposit.license, "rightsIdentifierScheme": "SPDX"}
            rights |= {"schemeUri": "https://spdx.org/licenses/"}
        record["rightsList"] = [rights]
    if deposit.description:
        record["descriptions"] = [{"description": deposit.description, "descriptionType": "Abstract"}]
    return record


def creators(deposit: Deposit) -> tuple[dict[str, str], ...]:
    """Return the authors of a deposit as the check found them, or its owner, or the word for unknown ones."""
    if deposit.creators:
        return deposit.creators
    return ({"name": deposit.owner.name or UNKNOWN_CREATOR},)


def orcid_url(creator: dict[str, str]) -> str:
    """Return the URL of a creator's ORCID iD; empty if there is none."""
    orcid = creator.get("orcid", "").removeprefix("https://").removeprefix("http://").removeprefix("orcid.org/")
    return f"{_ORCID}/{orcid}" if orcid else ""


def _creator(creator: dict[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {"name": creator["name"]}
    if orcid := orcid_url(creator):
        found["nameType"] = "Personal"
        identifier = {"nameIdentifier": orcid, "nameIdentifierScheme": "ORCID", "schemeUri": _ORCID}
        found["nameIdentifiers"] = [identifier]
    return found


def _versions(settings: Settings, deposit: Deposit, versions: tuple[Deposit, ...]) -> list[dict[str, str]]:
    related = []
    for other in versions:
        if other.version == deposit.version:
            continue
        relation = "IsNewVersionOf" if other.version < deposit.version else "IsPreviousVersionOf"
        found = {"relatedIdentifier": page_url(settings, other), "relatedIdentifierType": "URL"}
        if other.doi:
            found = {"relatedIdentifier": other.doi, "relatedIdentifierType": "DOI"}
        related.append(found | {"relationType": relation})
    return related


def _inputs(deposit: Deposit) -> list[dict[str, str]]:
    """Relate the inputs that have a URL; DataCite has no type for identifiers of the VO."""
    found = {
        locator
        for entry in deposit.about.get("inputs", ())
        for locator in entry.get("locators", ())
        if isinstance(locator, str) and locator.startswith("https://")
    }
    same = {"relatedIdentifierType": "URL", "relationType": "IsDerivedFrom"}
    return [{"relatedIdentifier": url, **same} for url in sorted(found)]
