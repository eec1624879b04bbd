"""Links for an archive, by the IVOA's DataLink 1.1 (https://www.ivoa.net/documents/DataLink/).

The crate is a ``#derivation`` of each input, and each input a ``#progenitor`` of the crate.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from urllib.parse import quote

from casaprov.crates.layout import Manifest
from casaprov.descriptions.observed_rows import Column
from casaprov.descriptions.origins import Origin, origins
from casaprov.records.model import Document

__all__ = ["DATALINK", "link_rows"]

Row = dict[str, str | int | float | None]

DATALINK: Final = (
    Column("ID", "char", "", "meta.id;meta.main"),
    Column("access_url", "char", "", "meta.ref.url"),
    Column("service_def", "char", "", "meta.ref"),
    Column("error_message", "char", "", "meta.code.error"),
    Column("description", "char", "", "meta.note"),
    Column("semantics", "char", "", "meta.code"),
    Column("content_type", "char", "", "meta.code.mime"),
    Column("content_length", "long", "byte", "phys.size;meta.file"),
)
"""The columns of an answer of DataLink 1.1."""

_TYPE = "application/zip"
_ADDRESSES = {"DOI": "https://doi.org/", "bibcode": "https://ui.adsabs.harvard.edu/abs/", "URL": ""}


def link_rows(document: Document, manifest: Manifest, *, address: str, size_bytes: int) -> list[Row]:
    """Return the links between a crate and the data that it came from.

    Parameters
    ----------
    address
        Address of the crate, which is its ID too.
    size_bytes
        Size of the crate.
    """
    crate: Row = {"access_url": address, "content_type": _TYPE, "content_length": size_bytes}
    title = f"{manifest.title}: notebook, record and products"
    rows: list[Row] = [{**crate, "ID": address, "semantics": "#this", "description": title}]
    for origin in origins(document):
        where = _address(origin)
        about = {"semantics": "#progenitor", "description": f"Input {origin.entity.path}"}
        rows.append({"ID": address, "access_url": where, "content_length": origin.entity.size_bytes, **about})
        made = {"semantics": "#derivation", "description": f"{title}, made from {origin.name}"}
        rows += [{**crate, "ID": identifier, **made} for identifier in _ids(origin)]
    return rows


def _ids(origin: Origin) -> Iterator[str]:
    """Yield each identifier that an archive may be asked for."""
    yield from origin.others
    for kind, value in origin.identifiers:
        yield f"{'doi:' if kind == 'DOI' else ''}{value}"


def _address(origin: Origin) -> str:
    """Return the address of an input; its publisher DID, which clients resolve, if no address is known."""
    found = [
        f"{_ADDRESSES[kind]}{value if kind == 'URL' else quote(value, safe='/:;()._-')}"
        for kind, value in origin.identifiers
    ]
    return next((url for url in sorted(found, key=_is_indirect)), "") or origin.others[0]


def _is_indirect(url: str) -> bool:
    """Return True for an address that leads to a page about the data."""
    return url.startswith((_ADDRESSES["DOI"], _ADDRESSES["bibcode"]))
