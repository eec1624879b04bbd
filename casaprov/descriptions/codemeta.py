"""The description of a crate as software, by CodeMeta 3.0 (https://w3id.org/codemeta/3.0)."""

from __future__ import annotations

from typing import Any

from casaprov import terms
from casaprov.crates.actions import last_time
from casaprov.crates.layout import ENVIRONMENT, Manifest
from casaprov.credits.licences import licence
from casaprov.credits.nodes import organization_node, person_nodes
from casaprov.credits.people import Organization, Person
from casaprov.descriptions.software import requirements
from casaprov.descriptions.summary import subjects, summary
from casaprov.records.model import Document

__all__ = ["CODEMETA_CONTEXT", "codemeta_record"]

CODEMETA_CONTEXT = "https://w3id.org/codemeta/3.0"

_SOFTWARE_HERITAGE = "https://archive.softwareheritage.org/"


def codemeta_record(document: Document, manifest: Manifest) -> dict[str, Any]:
    """Return the content of ``codemeta.json`` for the notebook of a crate."""
    credits = manifest.credits  # noqa: A001 - the word of films and crates
    pythons = dict.fromkeys(session.environment.python for session in document.sessions)
    repository = manifest.repository
    record: dict[str, Any] = {
        "@context": CODEMETA_CONTEXT,
        "type": "SoftwareSourceCode",
        "name": manifest.title,
        "description": summary(document, manifest),
        "identifier": repository.removeprefix(_SOFTWARE_HERITAGE) if _SOFTWARE_HERITAGE in repository else "",
        "codeRepository": "" if _SOFTWARE_HERITAGE in repository else repository,
        "version": manifest.commit,
        "author": [_person(author) for author in credits.authors],
        "publisher": _organization(credits.publisher) if credits.publisher else None,
        "funder": [_organization(funder) for funder in credits.funders],
        "license": licence(credits.license).url if credits.license else "",
        "keywords": subjects(document, manifest),
        "dateCreated": min(session.started_at for session in document.sessions)[:10],
        "dateModified": last_time(document)[:10],
        "programmingLanguage": {"type": "ComputerLanguage", "name": "Python", "url": terms.PROGRAMMING_LANGUAGE},
        "runtimePlatform": ["Jupyter", *(f"Python {python}" for python in pythons if python)],
        "softwareRequirements": [
            {
                "type": "SoftwareApplication",
                "identifier": requirement.name,
                "name": requirement.name,
                "version": requirement.version,
                "url": requirement.url,
            }
            for requirement in requirements(document)
        ],
        "softwareSuggestions": {"type": "SoftwareApplication", "name": "casaprov", "url": terms.CASAPROV},
        "buildInstructions": ENVIRONMENT if ENVIRONMENT in manifest.extras else "",
        "referencePublication": list(credits.citations),
    }
    return {key: value for key, value in record.items() if value not in ("", [], None)}


def _person(person: Person) -> dict[str, Any]:
    node, *_ = person_nodes(person)
    found = {key: value for key, value in node.items() if not key.startswith("@") and key != "affiliation"}
    found |= {"type": "Person"} | ({"id": person.orcid} if person.orcid else {})
    return found | ({"affiliation": _organization(person.affiliation)} if person.affiliation else {})


def _organization(organization: Organization) -> dict[str, Any]:
    node = organization_node(organization)
    return {"type": "Organization", "name": node["name"]} | ({"id": organization.url} if organization.url else {})
