"""Credits as JSON-LD entities of an RO-Crate."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from casaprov.credits.licences import Licence
from casaprov.credits.people import Organization, Person

__all__ = ["licence_node", "organization_node", "person_nodes"]

Node = dict[str, Any]


def person_nodes(person: Person) -> list[Node]:
    """Describe a person, named by the ORCID if there is one, and the affiliation."""
    node: Node = {"@id": person.orcid or _local("person", person.name), "@type": "Person", "name": person.name}
    node |= {"givenName": person.given_name, "familyName": person.family_name}
    if person.affiliation is None:
        return [_clean(node)]
    institute = organization_node(person.affiliation)
    return [_clean({**node, "affiliation": {"@id": institute["@id"]}}), institute]


def organization_node(organization: Organization) -> Node:
    """Describe an organization, named by its ROR or page if there is one."""
    identifier = organization.url or _local("organization", organization.name)
    return _clean({"@id": identifier, "@type": "Organization", "name": organization.name, "url": organization.url})


def licence_node(licence: Licence) -> Node:
    """Describe a licence."""
    text = f"Licence of this crate: {licence.name}"
    return {"@id": licence.url, "@type": "CreativeWork", "name": licence.name, "description": text}


def _local(kind: str, name: str) -> str:
    return f"#{kind}/{quote(name, safe='')}"


def _clean(node: Node) -> Node:
    return {key: member for key, member in node.items() if member != ""}
