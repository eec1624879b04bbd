"""Digests of FITS files: the header cards that carry science, and the data.

FITS writers note when, where and by which program a file was written; two
files that differ in nothing else have the same content.
See https://fits.gsfc.nasa.gov/fits_standard.html, section 4.4.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from casaprov.digests.sketch import Sketcher
from casaprov.digests.tree import ColumnLeaf, FitsUnit, digest_sketch
from casaprov.formats.fits import Hdu, science_cards
from casaprov.formats.fits_tables import PIECE_BYTES, FitsColumn, FitsTable, Pieces, fits_table
from casaprov.hashing import BlockHasher, Digest, digest_record

__all__ = ["unit_node"]


def unit_node(hdu: Hdu) -> FitsUnit:
    """Digest a unit of a FITS file, and sketch its image or the columns of its table."""
    header = digest_record("casaprov/fits-header/1", science_cards(hdu.cards))
    table = fits_table(hdu.cards)
    return _array(hdu, header) if table is None else _table(hdu, header, table)


def _array(hdu: Hdu, header: Digest) -> FitsUnit:
    hasher = BlockHasher()
    sketcher = None if hdu.dtype is None else Sketcher()
    for data in hdu.data():
        hasher.update(data)
        if sketcher is not None:
            stored = np.frombuffer(data, hdu.dtype)
            sketcher.update(stored.astype(stored.dtype.newbyteorder("=")))
    if sketcher is None:
        return FitsUnit(hdu.name, header, hasher.digest())
    data_digest, sketch = hasher.digest(), sketcher.sketch()
    return FitsUnit(hdu.name, header, data_digest, sketch=sketch, sketch_digest=digest_sketch(data_digest, sketch))


def _table(hdu: Hdu, header: Digest, table: FitsTable) -> FitsUnit:
    hasher = BlockHasher()
    columns = [_Column(column) for column in table.columns]
    stream = Pieces(hdu.data())
    for rows in table.pieces(stream):
        hasher.update(rows.data)
        for column in columns:
            column.update(rows)
    while heap := stream.take(PIECE_BYTES):
        hasher.update(heap)
    return FitsUnit(hdu.name, header, hasher.digest(), columns={column.name: column.leaf() for column in columns})


class _Column:
    """Digests and sketches a column of a table; its digest tells where tables differ, and enters no other."""

    def __init__(self, column: FitsColumn) -> None:
        self.name = column.name
        self._column = column
        self._hasher = BlockHasher()
        self._sketcher = Sketcher() if column.dtype.kind in "iufc" else None

    def update(self, rows: np.ndarray[Any, Any]) -> None:
        cells = self._column.cells(rows)
        self._hasher.update(cells.view(np.uint8).data)
        if self._sketcher is not None:
            self._sketcher.update(cells.astype(cells.dtype.newbyteorder("=")).ravel())

    def leaf(self) -> ColumnLeaf:
        digest, form = self._hasher.digest(), self._column.form
        if self._sketcher is None:
            return ColumnLeaf(digest, form)
        sketch = self._sketcher.sketch()
        return ColumnLeaf(digest, form, sketch=sketch, sketch_digest=digest_sketch(digest, sketch))
