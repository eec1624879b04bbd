"""Digests of FITS files: the header cards that carry science, and the data.

FITS writers note when, where and by which program a file was written; two
files that differ in nothing else have the same content.
See https://fits.gsfc.nasa.gov/fits_standard.html, section 4.4.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from casaprov.digests.sketch import Sketch
from casaprov.formats.fits import Hdu, science_cards
from casaprov.formats.fits_tables import PIECE_BYTES, FitsColumn, FitsTable, Pieces, fits_table
from casaprov.hashing import BlockHasher, Digest, digest_record

__all__ = ["fits_digest", "hdu_node"]


def hdu_node(hdu: Hdu) -> dict[str, Any]:
    """Digest a unit: ``name``, ``header`` and ``data`` (digests).

    Images have a ``sketch`` beside it, tables the ``columns`` by name with
    ``type``, ``digest`` and, if they are numbers, ``sketch``.
    """
    header = digest_record("casaprov/fits-header/1", science_cards(hdu.cards))
    table = fits_table(hdu.cards)
    data = _array(hdu) if table is None else _table(hdu, table)
    return {"name": hdu.name, "header": header, **data}


def _array(hdu: Hdu) -> dict[str, Any]:
    hasher = BlockHasher()
    sketch = Sketch() if hdu.dtype is not None else None
    for data in hdu.data():
        hasher.update(data)
        if sketch is not None:
            stored = np.frombuffer(data, hdu.dtype)
            sketch.update(stored.astype(stored.dtype.newbyteorder("=")))
    told: dict[str, Any] = {"data": hasher.digest()}
    if sketch is not None:
        told["sketch"] = sketch.result()
    return told


def _table(hdu: Hdu, table: FitsTable) -> dict[str, Any]:
    hasher = BlockHasher()
    columns = [_Column(column) for column in table.columns]
    stream = Pieces(hdu.data())
    for rows in table.pieces(stream):
        hasher.update(rows.data)
        for column in columns:
            column.update(rows)
    while heap := stream.take(PIECE_BYTES):
        hasher.update(heap)
    return {"data": hasher.digest(), "columns": {column.name: column.node() for column in columns}}


class _Column:
    """Digests and sketches a column of a table; neither enters a digest."""

    def __init__(self, column: FitsColumn) -> None:
        self.name = column.name
        self._column = column
        self._hasher = BlockHasher()
        self._sketch = Sketch() if column.dtype.kind in "iufc" else None

    def update(self, rows: np.ndarray[Any, Any]) -> None:
        cells = self._column.cells(rows)
        self._hasher.update(cells.view(np.uint8).data)
        if self._sketch is not None:
            self._sketch.update(cells.astype(cells.dtype.newbyteorder("=")).ravel())

    def node(self) -> dict[str, Any]:
        told: dict[str, Any] = {"type": self._column.form, "digest": self._hasher.digest()}
        if self._sketch is not None:
            told["sketch"] = self._sketch.result()
        return told


def fits_digest(hdus: Iterable[Mapping[str, Any]]) -> Digest:
    """Digest of a FITS file from the nodes of its units, in order."""
    return digest_record("casaprov/fits/1", [[hdu["name"], hdu["header"], hdu["data"]] for hdu in hdus])
