"""DataLink 1.1 (https://www.ivoa.net/documents/DataLink/): from an identifier to the files of a crate and its origins.

This serves archives without DaCHS, which has a DataLink service of its own. Identifiers of observations lead to the
crates that were derived from them, those of crates to their files and to the observations that they used.
"""

from __future__ import annotations

from collections.abc import Iterable
from xml.etree import ElementTree as ET

from casaprov.archive.deposits import Deposit, Kind, State
from casaprov.archive.publication.harvest.oai_records import writable
from casaprov.archive.publication.metadata.addresses import CRATE_TYPE, NOTEBOOK_TYPE, crate_url, file_url, page_url
from casaprov.archive.publication.vo.tables import crates_csv, inputs_csv, observations_of
from casaprov.archive.settings import Settings
from casaprov.archive.web.handler import ArchiveHandler
from casaprov.archive.web.problems import Problem

__all__ = ["CrateLists", "DataLink", "links_votable"]

VOTABLE = "http://www.ivoa.net/xml/VOTable/v1.3"
_TYPE = "application/x-votable+xml;content=datalink"
_MAX_IDS = 100
_MAX_CRATES = 10_000

# Name, UCD, data type of each column of a DataLink answer.
_FIELDS = (
    ("ID", "meta.id;meta.main", "char"),
    ("access_url", "meta.ref.url", "char"),
    ("service_def", "meta.ref", "char"),
    ("error_message", "meta.code.error", "char"),
    ("description", "meta.note", "char"),
    ("semantics", "meta.code", "char"),
    ("content_type", "meta.code.mime", "char"),
    ("content_length", "phys.size;meta.file", "long"),
)

Row = tuple[str, str, str, str, str, str, str, str]


class DataLink(ArchiveHandler):
    """``/datalink?ID=…``, with several IDs if need be."""

    async def get(self) -> None:
        """Answer with the links of one or more identifiers; 404 if none of them is known."""
        arguments = {name.upper(): values for name, values in self.request.query_arguments.items()}
        ids = [value.decode(errors="replace") for value in arguments.get("ID", [])]
        if not 0 < len(ids) <= _MAX_IDS:
            raise Problem(400, f"Give one to {_MAX_IDS} identifiers: /datalink?ID=…")
        rows, known = await self.in_thread(self._rows, ids)
        if not known:
            raise Problem(404, "There is nothing public under these identifiers.")
        self.set_header("Content-Type", _TYPE)
        _ = self.finish(links_votable(rows))

    head = get

    def _rows(self, ids: Iterable[str]) -> tuple[list[Row], bool]:
        repository, settings = self.archive.repository, self.archive.settings
        rows: list[Row] = []
        known = False
        for did in ids:
            deposit = None if "\0" in did else repository.by_did(did)
            if deposit is not None and deposit.state is State.PUBLISHED:
                found = _crate_rows(settings, deposit)
            else:
                derived = (d for d in repository.published(limit=_MAX_CRATES) if did in observations_of(d))
                found = [_derivation(settings, did, crate) for crate in derived]
            known = known or bool(found)
            rows += found or [(did, "", "", "NotFoundFault: nothing public has this identifier", "", "#this", "", "")]
        return rows, known


class CrateLists(ArchiveHandler):
    """``/crates.csv`` and ``/crate_inputs.csv``: every published crate, for ``dachs imp``."""

    async def get(self, which: str) -> None:
        """Answer with the table."""
        body = await self.in_thread(self._table, which)
        self.set_header("Content-Type", "text/csv; charset=utf-8")
        self.set_header("Content-Disposition", f'attachment; filename="{which}.csv"')
        _ = self.finish(body)

    head = get

    def _table(self, which: str) -> bytes:
        published = self.archive.repository.published(limit=_MAX_CRATES)
        return crates_csv(self.archive.settings, published) if which == "crates" else inputs_csv(published)


def links_votable(rows: Iterable[Row]) -> bytes:
    """Return links as a VOTable."""
    root = ET.Element("VOTABLE", {"version": "1.3", "xmlns": VOTABLE})
    resource = ET.SubElement(root, "RESOURCE", {"type": "results"})
    ET.SubElement(resource, "INFO", {"name": "QUERY_STATUS", "value": "OK"})
    standard = {"name": "standardID", "value": "ivo://ivoa.net/std/DataLink#links-1.1"}
    ET.SubElement(resource, "INFO", standard)
    table = ET.SubElement(resource, "TABLE")
    for name, ucd, kind in _FIELDS:
        size = {"arraysize": "*"} if kind == "char" else {"unit": "byte"}
        ET.SubElement(table, "FIELD", {"name": name, "ucd": ucd, "datatype": kind, **size})
    data = ET.SubElement(ET.SubElement(table, "DATA"), "TABLEDATA")
    for row in rows:
        line = ET.SubElement(data, "TR")
        for value in row:
            ET.SubElement(line, "TD").text = writable(value) or None
    text: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return text


def _crate_rows(settings: Settings, deposit: Deposit) -> list[Row]:
    did, size = deposit.did, str(deposit.size_bytes)
    crate = deposit.kind is Kind.CRATE
    kind = CRATE_TYPE if crate else NOTEBOOK_TYPE
    what = "The crate: notebook, records and products" if crate else "The notebook"
    rows: list[Row] = [
        (did, crate_url(settings, deposit), "", "", what, "#this", kind, size),
        (did, page_url(settings, deposit), "", "", "Landing page", "#documentation", "text/html", ""),
    ]
    if deposit.verdicts and crate:
        report = file_url(settings, deposit, "report.json")
        rows.append((did, report, "", "", "Replay by the archive", "#auxiliary", "application/json", ""))
    return rows + [
        (did, _address(deposit, origin), "", "", f"Observation {origin}", "#progenitor", "", "")
        for origin in observations_of(deposit)
    ]


def _derivation(settings: Settings, did: str, crate: Deposit) -> Row:
    kind = CRATE_TYPE if crate.kind is Kind.CRATE else NOTEBOOK_TYPE
    what = f"{crate.name}, version {crate.version}: {crate.title or crate.filename}"
    return (did, crate_url(settings, crate), "", "", what, "#derivation", kind, str(crate.size_bytes))


def _address(deposit: Deposit, origin: str) -> str:
    """Return the URL that an observation was read from; its IVOID, which clients resolve, if none was recorded."""
    locators = (
        locator
        for entry in deposit.about.get("inputs", ())
        if entry.get("did") == origin
        for locator in entry.get("locators", ())
    )
    return next((url for url in locators if str(url).startswith("https://")), origin)
