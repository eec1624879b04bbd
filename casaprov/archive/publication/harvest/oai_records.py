"""Descriptions of a crate in XML for harvesters: Dublin Core and DataCite."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any
from xml.etree import ElementTree as ET

from casaprov.archive.deposits import Deposit
from casaprov.archive.publication.metadata.addresses import license_url, persistent_url
from casaprov.archive.publication.metadata.datacite import datacite_record
from casaprov.archive.settings import Settings

__all__ = ["FORMATS", "Format", "child", "writable"]

DC = "http://purl.org/dc/elements/1.1/"
OAI_DC = "http://www.openarchives.org/OAI/2.0/oai_dc/"
DATACITE = "http://datacite.org/schema/kernel-4"
OAI_DATACITE = "http://schema.datacite.org/oai/oai-1.1/"
XSI = "http://www.w3.org/2001/XMLSchema-instance"

# Characters that XML 1.0 has no way to write.
_UNWRITABLE = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

for _prefix, _namespace in (("dc", DC), ("oai_dc", OAI_DC), ("datacite", DATACITE), ("oai_datacite", OAI_DATACITE)):
    ET.register_namespace(_prefix, _namespace)
ET.register_namespace("xsi", XSI)


class Format:
    """A format of descriptions.

    Parameters
    ----------
    make
        Function that describes a published deposit, given all published versions of its crate.
    """

    def __init__(
        self,
        namespace: str,
        schema: str,
        make: Callable[[Settings, Deposit, tuple[Deposit, ...]], ET.Element],
    ) -> None:
        self.namespace = namespace
        self.schema = schema
        self.make = make


def child(parent: ET.Element, name: str, text: str | None = None, **attributes: str) -> ET.Element:
    """Add an element in the namespace of its parent, with text that XML can hold."""
    namespace = parent.tag[: parent.tag.index("}") + 1] if parent.tag.startswith("{") else ""
    made = ET.SubElement(parent, namespace + name, {key: writable(value) for key, value in attributes.items()})
    if text is not None:
        made.text = writable(text)
    return made


def writable(text: str) -> str:
    """Return a text without the characters that XML cannot write."""
    return _UNWRITABLE.sub("\ufffd", text)


def _root(namespace: str, name: str, schema: str) -> ET.Element:
    return ET.Element(f"{{{namespace}}}{name}", {f"{{{XSI}}}schemaLocation": f"{namespace} {schema}"})


def _dublin_core(settings: Settings, deposit: Deposit, versions: tuple[Deposit, ...]) -> ET.Element:
    record = datacite_record(settings, deposit, versions)
    root = _root(OAI_DC, "dc", "http://www.openarchives.org/OAI/2.0/oai_dc.xsd")
    values = [
        ("title", record["titles"][0]["title"]),
        *(("creator", creator["name"]) for creator in record["creators"]),
        *(("subject", subject["subject"]) for subject in record["subjects"]),
        ("description", deposit.description),
        ("publisher", settings.publisher),
        ("date", record["dates"][1]["date"]),
        ("type", "Dataset"),
        ("format", record["formats"][0]),
        ("identifier", persistent_url(settings, deposit)),
        ("identifier", deposit.did),
        *(("relation", related["relatedIdentifier"]) for related in record["relatedIdentifiers"]),
        ("rights", license_url(deposit.license)),
    ]
    for name, value in values:
        if value:
            ET.SubElement(root, f"{{{DC}}}{name}").text = writable(value)
    return root


def _datacite(settings: Settings, deposit: Deposit, versions: tuple[Deposit, ...]) -> ET.Element:
    record = datacite_record(settings, deposit, versions)
    root = _root(OAI_DATACITE, "oai_datacite", "http://schema.datacite.org/oai/oai-1.1/oai.xsd")
    child(root, "schemaVersion", "4.5")
    child(root, "datacentreSymbol", settings.publisher)
    payload = child(root, "payload")
    payload.append(_resource(settings, deposit, record))
    return root


def _resource(settings: Settings, deposit: Deposit, record: Mapping[str, Any]) -> ET.Element:
    """Return the description as DataCite's XML has it."""
    root = _root(DATACITE, "resource", "https://schema.datacite.org/meta/kernel-4.5/metadata.xsd")
    if deposit.doi:
        child(root, "identifier", deposit.doi, identifierType="DOI")
    else:
        child(root, "identifier", persistent_url(settings, deposit), identifierType="URL")
    found = child(root, "creators")
    for entry in record["creators"]:
        creator = child(found, "creator")
        kind = {"nameType": entry["nameType"]} if "nameType" in entry else {}
        child(creator, "creatorName", entry["name"], **kind)
        for name in entry.get("nameIdentifiers", ()):
            facts = {"nameIdentifierScheme": name["nameIdentifierScheme"], "schemeURI": name["schemeUri"]}
            child(creator, "nameIdentifier", name["nameIdentifier"], **facts)
    child(child(root, "titles"), "title", record["titles"][0]["title"])
    child(root, "publisher", settings.publisher)
    child(root, "publicationYear", record["publicationYear"])
    types = record["types"]
    child(root, "resourceType", types["resourceType"], resourceTypeGeneral=types["resourceTypeGeneral"])
    _listed(root, "subjects", "subject", [(e["subject"], {}) for e in record["subjects"]])
    _listed(root, "dates", "date", [(e["date"], {"dateType": e["dateType"]}) for e in record["dates"]])
    others = record["alternateIdentifiers"]
    kind_of = "alternateIdentifierType"
    entries = [(e["alternateIdentifier"], {kind_of: e[kind_of]}) for e in others]
    _listed(root, "alternateIdentifiers", "alternateIdentifier", entries)
    keys = ("relatedIdentifierType", "relationType")
    related = [(e["relatedIdentifier"], {k: e[k] for k in keys}) for e in record["relatedIdentifiers"]]
    _listed(root, "relatedIdentifiers", "relatedIdentifier", related)
    _listed(root, "sizes", "size", [(size, {}) for size in record["sizes"]])
    _listed(root, "formats", "format", [(name, {}) for name in record["formats"]])
    child(root, "version", record["version"])
    rights = [(e["rights"], {"rightsURI": e["rightsUri"]}) for e in record.get("rightsList", ())]
    _listed(root, "rightsList", "rights", rights)
    described = [(e["description"], {"descriptionType": "Abstract"}) for e in record.get("descriptions", ())]
    _listed(root, "descriptions", "description", described)
    return root


def _listed(root: ET.Element, plural: str, singular: str, entries: list[tuple[str, dict[str, str]]]) -> None:
    """Add a list, which DataCite does not allow to be empty."""
    if entries:
        found = child(root, plural)
        for text, attributes in entries:
            child(found, singular, text, **attributes)


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "oai_dc": Format(OAI_DC, "http://www.openarchives.org/OAI/2.0/oai_dc.xsd", _dublin_core),
        "oai_datacite": Format(OAI_DATACITE, "http://schema.datacite.org/oai/oai-1.1/oai.xsd", _datacite),
    }
)
"""Formats by their ``metadataPrefix``."""
