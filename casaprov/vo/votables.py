"""VOTables that an archive loads: products by ObsCore, links by DataLink."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io.votable.tree import Field, Info, Resource, TableElement, VOTableFile

from casaprov.crates.layout import Manifest
from casaprov.descriptions.links import DATALINK, link_rows
from casaprov.descriptions.observed_rows import OBSCORE, Column, observed_rows
from casaprov.records.model import Document

__all__ = ["write_links", "write_observed_products"]

_DATALINK_STANDARD = "ivo://ivoa.net/std/DataLink#links-1.1"

_EMPTY: Mapping[str, Any] = {"char": "", "int": 0, "long": 0, "double": np.nan}


def write_observed_products(
    path: Path, document: Document, manifest: Manifest, *, address: str, size_bytes: int
) -> None:
    """Write the products in a crate as rows of ObsCore; see :func:`casaprov.descriptions.observed_rows.observed_rows`."""
    rows = observed_rows(document, manifest, address=address, size_bytes=size_bytes)
    _write(path, OBSCORE, rows, title=f"Products in the crate {manifest.title}, written by casaprov")


def write_links(path: Path, document: Document, manifest: Manifest, *, address: str, size_bytes: int) -> None:
    """Write the links between a crate and its inputs; see :func:`casaprov.descriptions.links.link_rows`."""
    rows = link_rows(document, manifest, address=address, size_bytes=size_bytes)
    title = f"Links of the crate {manifest.title}, written by casaprov"
    _write(path, DATALINK, rows, title=title, standard=_DATALINK_STANDARD)


def _write(
    path: Path, columns: Sequence[Column], rows: Sequence[Mapping[str, Any]], *, title: str, standard: str = ""
) -> None:
    """Write rows as a VOTable; missing values are null.

    Parameters
    ----------
    standard
        Identifier of the standard that the table is an answer by.
    """
    file = VOTableFile(version="1.4")
    file.description = title
    resource = Resource(type="results")
    infos = {"QUERY_STATUS": "OK", "creator": "casaprov"} | ({"standardID": standard} if standard else {})
    resource.infos.extend(Info(name=name, value=value) for name, value in infos.items())
    table = TableElement(file)
    table.fields.extend(_field(file, column, rows) for column in columns)
    table.create_arrays(len(rows))
    for number, row in enumerate(rows):
        values = [row.get(column.name) for column in columns]
        table.array[number] = tuple(
            _EMPTY[column.kind] if value is None else value for column, value in zip(columns, values, strict=True)
        )
        table.array.mask[number] = tuple(value is None for value in values)
    resource.tables.append(table)
    file.resources.append(resource)
    file.to_xml(str(path))


def _field(file: VOTableFile, column: Column, rows: Sequence[Mapping[str, Any]]) -> Field:
    plain = all(str(row.get(column.name) or "").isascii() for row in rows)
    kind = column.kind if plain else "unicodeChar"
    stated = {"unit": column.unit, "ucd": column.ucd, "utype": column.utype}
    size = {"arraysize": "*"} if column.kind == "char" else {}
    named = {key: value for key, value in stated.items() if value}
    return Field(file, name=column.name, datatype=kind, **size, **named)
