"""The description of a crate by DataCite 4.5 (https://schema.datacite.org/meta/kernel-4.5/).

A repository adds the DOI; 4.3 demands one, which a crate before its deposit has not.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from casaprov import terms
from casaprov.crates.actions import last_time
from casaprov.crates.layout import Manifest
from casaprov.credits.licences import licence
from casaprov.credits.people import ORCID, ROR, Organization, Person
from casaprov.descriptions.origins import Origin, origins
from casaprov.descriptions.software import requirements
from casaprov.descriptions.summary import subjects, summary
from casaprov.hashing import Digest
from casaprov.lineage.observed import observed_inputs
from casaprov.observations.summary import coverage
from casaprov.records.model import Document

__all__ = ["UNKNOWN", "datacite_record"]

UNKNOWN = "(:unav)"
"""DataCite's word for a value that is not known now and may be later."""

_SPDX = "https://spdx.org/licenses/"
_DATE = 10  # characters


def datacite_record(document: Document, manifest: Manifest, *, digest: Digest, size_bytes: int) -> dict[str, Any]:
    """Return the description of a crate, valid by the JSON schema of DataCite 4.5.

    Parameters
    ----------
    digest, size_bytes
        Digest of the bytes of the zip, and their number.
    """
    credits = manifest.credits  # noqa: A001 - the word of films and crates
    known = origins(document)
    record: dict[str, Any] = {
        "schemaVersion": "http://datacite.org/schema/kernel-4",
        "types": {"resourceTypeGeneral": "ComputationalNotebook", "resourceType": "RO-Crate of a CASA notebook"},
        "creators": [_creator(author) for author in credits.authors] or [{"name": UNKNOWN}],
        "titles": [{"title": manifest.title}],
        "publisher": _publisher(credits.publisher),
        "publicationYear": last_time(document)[:4],
        "subjects": [{"subject": word} for word in subjects(document, manifest)],
        "dates": _dates(document),
        "alternateIdentifiers": [
            {"alternateIdentifier": digest.removeprefix("sha256:"), "alternateIdentifierType": "SHA-256"}
        ],
        "relatedIdentifiers": [
            *_related("IsDerivedFrom", dict.fromkeys(pair for origin in known for pair in origin.identifiers)),
            *_related("Requires", [("URL", requirement.url) for requirement in requirements(document)]),
            *_related("Cites", [_doi(url) for url in dict.fromkeys((terms.CASA_PAPER, *credits.citations))]),
        ],
        "relatedItems": [_item(origin) for origin in known if not origin.identifiers],
        "sizes": [f"{size_bytes} bytes"],
        "formats": ["application/zip"],
        "rightsList": _rights(credits.license, credits.conditions_of_access),
        "descriptions": [
            {"description": summary(document, manifest), "descriptionType": "Abstract"},
            {"description": _technical(document, manifest), "descriptionType": "TechnicalInfo"},
        ],
        "fundingReferences": [_funder(funder) for funder in credits.funders],
    }
    return {key: value for key, value in record.items() if value != []}


def _creator(person: Person) -> dict[str, Any]:
    parts = (person.family_name, person.given_name)
    found: dict[str, Any] = {"name": ", ".join(parts) if all(parts) else person.name}
    if person.orcid or all(parts):
        found["nameType"] = "Personal"
    if all(parts):
        found |= {"givenName": person.given_name, "familyName": person.family_name}
    if person.orcid:
        identifier = {"nameIdentifier": person.orcid, "nameIdentifierScheme": "ORCID", "schemeUri": ORCID}
        found["nameIdentifiers"] = [identifier]
    if person.affiliation is not None:
        institute = {"name": person.affiliation.name}
        if person.affiliation.url.startswith(ROR):
            identifier = {"affiliationIdentifier": person.affiliation.url, "affiliationIdentifierScheme": "ROR"}
            institute |= {**identifier, "schemeUri": ROR}
        found["affiliation"] = [institute]
    return found


def _publisher(publisher: Organization | None) -> dict[str, str]:
    if publisher is None:
        return {"name": UNKNOWN}
    found = {"name": publisher.name}
    if publisher.url.startswith(ROR):
        found |= {"publisherIdentifier": publisher.url, "publisherIdentifierScheme": "ROR", "schemeUri": ROR}
    elif publisher.url:
        found["publisherIdentifier"] = publisher.url
    return found


def _funder(funder: Organization) -> dict[str, str]:
    found = {"funderName": funder.name}
    if funder.url:
        scheme = "ROR" if funder.url.startswith(ROR) else "Other"
        found |= {"funderIdentifier": funder.url, "funderIdentifierType": scheme}
    return found


def _dates(document: Document) -> list[dict[str, str]]:
    first = min(session.started_at for session in document.sessions)[:_DATE]
    dates = [{"date": f"{first}/{last_time(document)[:_DATE]}", "dateType": "Created"}]
    rows = [row for entity in observed_inputs(document) for row in entity.observations]
    if observed := coverage(rows):
        begin, _, end = observed.partition("/")
        dates.append({"date": f"{begin[:_DATE]}/{(end or begin)[:_DATE]}", "dateType": "Collected"})
    return dates


def _related(relation: str, identifiers: Any) -> list[dict[str, str]]:
    return [
        {"relatedIdentifier": value, "relatedIdentifierType": kind, "relationType": relation}
        for kind, value in identifiers
    ]


def _doi(url: str) -> tuple[str, str]:
    return ("DOI", url.removeprefix("https://doi.org/")) if url.startswith("https://doi.org/") else ("URL", url)


def _item(origin: Origin) -> dict[str, Any]:
    """Describe an input that has no identifier of a type that DataCite knows."""
    title = f"{origin.name} ({', '.join(origin.others)})"
    return {"titles": [{"title": title}], "relatedItemType": "Dataset", "relationType": "IsDerivedFrom"}


def _rights(name: str, conditions: str) -> list[dict[str, str]]:
    found = []
    if name:
        known = licence(name)
        rights = {"rights": known.name, "rightsUri": known.url}
        if known.url.startswith(_SPDX):
            rights |= {"rightsIdentifier": known.name, "rightsIdentifierScheme": "SPDX", "schemeUri": _SPDX}
        found.append(rights)
    return found + ([{"rights": conditions}] if conditions else [])


def _technical(document: Document, manifest: Manifest) -> str:
    name = PurePosixPath(manifest.notebook).name
    ran = ", ".join(f"{requirement.name} {requirement.version}" for requirement in requirements(document))
    versions = ", ".join(dict.fromkeys(session.casaprov for session in document.sessions))
    return (
        f"An RO-Crate with the notebook {name}, the record of its {len(document.activities)} task calls"
        f"{f' with {ran}' if ran else ''}, logs and products, written by casaprov (recorded with {versions})."
        " 'casaprov replay' runs the calls again and compares every product."
    )
