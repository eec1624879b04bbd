"""The tree of a content digest: the parts of a product, with the digest of each of them.

A product's digest is the root of its tree, which is kept with the record as
JSON (``format`` is ``casaprov/tree/2``; trees of the format 1 have no sums over all
values, and are read for ever). The types here are that tree's nodes:
:mod:`casaprov.digests.table` and :mod:`casaprov.digests.fits` make them,
comparisons read them, and a tree from a crate is checked while it is read. Which
part enters which digest is documented in ``docs/explanation/digests.md``. Sketches
enter no content digest. Each has a digest of its own, which also covers the digest
of the values that it describes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from casaprov.digests.json_fields import digest, integer, mapping, optional, sequence, text
from casaprov.digests.sketch import Sketch
from casaprov.errors import DigestError
from casaprov.hashing import Digest, digest_record

__all__ = [
    "TREE_FORMAT",
    "ColumnLeaf",
    "ColumnOutline",
    "FitsUnit",
    "Outline",
    "TableNode",
    "Tree",
    "content_digest",
    "digest_sketch",
]

TREE_FORMAT: Final = "casaprov/tree/2"

_READABLE = (TREE_FORMAT, "casaprov/tree/1")


@dataclass(frozen=True)
class ColumnOutline:
    """The part of a column's leaf that is known without its values.

    Attributes
    ----------
    type
        Type of its values.
    keywords
        Digest of its keywords, if it has any.
    keyword_record
        The keywords as they are encoded in the digest, if they are short.
    """

    type: str
    keywords: Digest | None = None
    keyword_record: Any = None

    def to_json(self) -> dict[str, Any]:
        """Return the outline as JSON values; fields that are None are left out."""
        facts = {"type": self.type, "keywords": self.keywords, "keyword_record": self.keyword_record}
        return {name: fact for name, fact in facts.items() if fact is not None}

    @classmethod
    def from_json(cls, value: Any, name: str = "column") -> ColumnOutline:
        """Read an outline; raise :class:`DigestError` if it is none."""
        data = mapping(value, name)
        return cls(text(data.get("type"), "type"), optional(data, "keywords", digest), data.get("keyword_record"))


@dataclass(frozen=True)
class ColumnLeaf:
    """A column of a table, or of a table in a FITS file.

    Attributes
    ----------
    type
        Type of its values; in a FITS file, its TFORM.
    keywords
        Digest of its keywords, if it has any.
    sketch
        Of all values, if they are numbers.
    samples
        Of the values that the tier ``fast`` read of a large column, in place of `sketch`.
    sketch_digest
        Digest of the sketch or the samples (:func:`digest_sketch`).
    shapes
        Digest of the shapes of the cells, of numbers in a table.
    keyword_record
        The keywords as they are encoded in the digest, if they are short.
    """

    digest: Digest
    type: str
    keywords: Digest | None = None
    sketch: Sketch | None = None
    samples: Sketch | None = None
    sketch_digest: Digest | None = None
    shapes: Digest | None = None
    keyword_record: Any = None

    def to_json(self) -> dict[str, Any]:
        """Return the leaf as JSON values; fields that are None are left out."""
        found: dict[str, Any] = {"digest": self.digest, "type": self.type}
        if self.keywords is not None:
            found["keywords"] = self.keywords
        if self.sketch is not None:
            found["sketch"] = self.sketch.to_json()
        if self.samples is not None:
            found["samples"] = self.samples.to_json()
        if self.sketch_digest is not None:
            found["sketch_digest"] = self.sketch_digest
        if self.shapes is not None:
            found["shapes"] = self.shapes
        if self.keyword_record is not None:
            found["keyword_record"] = self.keyword_record
        return found

    @classmethod
    def from_json(cls, value: Any, name: str) -> ColumnLeaf:
        """Read a leaf; raise :class:`DigestError` if it is none."""
        data = mapping(value, name)
        return cls(
            digest=digest(data.get("digest"), "digest"),
            type=text(data.get("type"), "type"),
            keywords=optional(data, "keywords", digest),
            sketch=optional(data, "sketch", Sketch.from_json),
            samples=optional(data, "samples", Sketch.from_json),
            sketch_digest=optional(data, "sketch_digest", digest),
            shapes=optional(data, "shapes", digest),
            keyword_record=data.get("keyword_record"),
        )

    def check_sketch(self) -> None:
        """Check sketch and keywords against their digests; raise :class:`DigestError` if they do not belong to them."""
        _check_sketch(self.sketch or self.samples, self.digest, self.sketch_digest)
        _check_keywords(self.keyword_record, self.keywords)


@dataclass(frozen=True)
class Outline:
    """The part of a table's node that is neither a column nor a sub-table.

    Attributes
    ----------
    type, subtype
        Those of ``table.info``.
    keywords
        Digest of the keywords of the table.
    keyword_record
        The keywords as they are encoded in the digest, if they are short.
    """

    type: str
    subtype: str
    rows: int
    keywords: Digest
    keyword_record: Any = None

    def to_json(self) -> dict[str, Any]:
        """Return the outline as JSON values."""
        facts = {"type": self.type, "subtype": self.subtype, "rows": self.rows, "keywords": self.keywords}
        return facts if self.keyword_record is None else {**facts, "keyword_record": self.keyword_record}

    @classmethod
    def from_json(cls, value: Any, name: str) -> Outline:
        """Read an outline; raise :class:`DigestError` if it is none."""
        data = mapping(value, name)
        return cls(
            type=text(data.get("type"), "type"),
            subtype=text(data.get("subtype"), "subtype"),
            rows=integer(data.get("rows"), "rows"),
            keywords=digest(data.get("keywords"), "keywords"),
            keyword_record=data.get("keyword_record"),
        )


@dataclass(frozen=True)
class TableNode:
    """A table.

    Attributes
    ----------
    digest
        Digest that the node claims for itself; :meth:`computed_digest` is what it follows from.
    tables
        Sub-tables by name; None for one that is not there, or that leads back to this table.
    """

    digest: Digest
    outline: Outline
    columns: Mapping[str, ColumnLeaf]
    tables: Mapping[str, TableNode | None]

    @classmethod
    def of(
        cls, outline: Outline, columns: Mapping[str, ColumnLeaf], tables: Mapping[str, TableNode | None]
    ) -> TableNode:
        """Return the node of a table from its parts, with its digest."""
        return cls(_table_digest(outline, columns, tables), outline, columns, tables)

    def computed_digest(self) -> Digest:
        """Compute the digest from columns, keywords and sub-tables.

        Raises
        ------
        DigestError
            If the digest that a sub-table's node claims is not the computed one.
        """
        for name, table in self.tables.items():
            if table is not None and table.computed_digest() != table.digest:
                raise DigestError(f"The digest of the sub-table {name} is not that of its columns and keywords.")
        return _table_digest(self.outline, self.columns, self.tables)

    def check_sketches(self) -> None:
        """Check the sketches of all columns and all keywords, those of sub-tables too (:meth:`ColumnLeaf.check_sketch`)."""
        _check_keywords(self.outline.keyword_record, self.outline.keywords)
        for column in self.columns.values():
            column.check_sketch()
        for table in self.tables.values():
            if table is not None:
                table.check_sketches()

    def has_samples(self) -> bool:
        """Return True if only samples were read of a column of the table or of its sub-tables."""
        return any(column.samples is not None for column in self.columns.values()) or any(
            table is not None and table.has_samples() for table in self.tables.values()
        )

    def to_json(self) -> dict[str, Any]:
        """Return the node as JSON values."""
        return {
            "digest": self.digest,
            **self.outline.to_json(),
            "columns": {name: column.to_json() for name, column in self.columns.items()},
            "tables": {name: table and table.to_json() for name, table in self.tables.items()},
        }

    @classmethod
    def from_json(cls, value: Any, name: str) -> TableNode:
        """Read a node; raise :class:`DigestError` if it is none. Its digest is taken as it stands."""
        data = mapping(value, name)
        tables = mapping(data.get("tables"), "tables")
        return cls(
            digest=digest(data.get("digest"), "digest"),
            outline=Outline.from_json(data, name),
            columns=_columns(data.get("columns"), "columns"),
            tables={inside: optional(tables, inside, cls.from_json) for inside in tables},
        )


def _table_digest(
    outline: Outline, columns: Mapping[str, ColumnLeaf], tables: Mapping[str, TableNode | None]
) -> Digest:
    return digest_record(
        "casaprov/table/1",
        outline.type,
        outline.subtype,
        outline.rows,
        outline.keywords,
        {name: [column.digest, column.keywords] for name, column in columns.items()},
        {name: table and table.digest for name, table in tables.items()},
    )


@dataclass(frozen=True)
class FitsUnit:
    """A header and data unit of a FITS file.

    Attributes
    ----------
    header, data
        Digests.
    sketch
        Of an image.
    columns
        Of a table, by name; None for all else, and in trees of early versions.
    sketch_digest
        Digest of the sketch (:func:`digest_sketch`).
    """

    name: str
    header: Digest
    data: Digest
    sketch: Sketch | None = None
    columns: Mapping[str, ColumnLeaf] | None = None
    sketch_digest: Digest | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the unit as JSON values; fields that are None are left out."""
        found: dict[str, Any] = {"name": self.name, "header": self.header, "data": self.data}
        if self.sketch is not None:
            found["sketch"] = self.sketch.to_json()
        if self.columns is not None:
            found["columns"] = {name: column.to_json() for name, column in self.columns.items()}
        if self.sketch_digest is not None:
            found["sketch_digest"] = self.sketch_digest
        return found

    @classmethod
    def from_json(cls, value: Any, name: str) -> FitsUnit:
        """Read a unit; raise :class:`DigestError` if it is none."""
        data = mapping(value, name)
        return cls(
            name=text(data.get("name"), "name"),
            header=digest(data.get("header"), "header"),
            data=digest(data.get("data"), "data"),
            sketch=optional(data, "sketch", Sketch.from_json),
            columns=optional(data, "columns", _columns),
            sketch_digest=optional(data, "sketch_digest", digest),
        )

    def check_sketches(self) -> None:
        """Check the sketch of the image, or those of the columns; see :meth:`ColumnLeaf.check_sketch`."""
        _check_sketch(self.sketch, self.data, self.sketch_digest)
        for column in (self.columns or {}).values():
            column.check_sketch()


def digest_sketch(values: Digest, sketch: Sketch) -> Digest:
    """Digest a sketch, with the digest of the values that it describes."""
    return digest_record("casaprov/sketch/1", values, sketch.to_json())


def _check_keywords(record: Any, digest: Digest | None) -> None:
    """Check the encoded keywords against their digest; raise :class:`DigestError` if they do not belong to it."""
    if record is not None and digest_record("casaprov/keywords/1", record) != digest:
        raise DigestError("The keywords in it are not those of their digest.")


def _check_sketch(sketch: Sketch | None, values: Digest, claimed: Digest | None) -> None:
    if sketch is None:
        return
    if sketch.linear is not None:
        sketch.linear.values()
        if claimed is None:
            raise DigestError("A sketch has no digest.")
    if claimed is not None and digest_sketch(values, sketch) != claimed:
        raise DigestError("The digest of a sketch is not that of its values.")


def _columns(value: Any, name: str) -> dict[str, ColumnLeaf]:
    return {inside: ColumnLeaf.from_json(column, inside) for inside, column in mapping(value, name).items()}


@dataclass(frozen=True)
class Tree:
    """The tree of a product, which is a table, a FITS file or a folder: one of the three parts is there.

    Attributes
    ----------
    kind
        Kind of the product, as in its record.
    units
        Of a FITS file, in order.
    members
        Of a folder: digests by path.
    """

    kind: str
    table: TableNode | None = None
    units: Sequence[FitsUnit] | None = None
    members: Mapping[str, Digest] | None = None

    def computed_digest(self) -> Digest:
        """Compute the content digest from the leaves upwards.

        Raises
        ------
        DigestError
            If a digest inside the tree is not that of what is below it.
        """
        if self.table is not None:
            return self.table.computed_digest()
        if self.units is not None:
            return digest_record("casaprov/fits/1", [[unit.name, unit.header, unit.data] for unit in self.units])
        return digest_record("casaprov/directory/1", self.members)

    def check_sketches(self) -> None:
        """Check each sketch against its digest and its form.

        Raises
        ------
        DigestError
            If one is not what it should be; content digests do not cover sketches.
        """
        if self.table is not None:
            self.table.check_sketches()
        for unit in self.units or ():
            unit.check_sketches()

    def to_json(self) -> dict[str, Any]:
        """Return the tree as JSON values."""
        found: dict[str, Any] = {"format": TREE_FORMAT, "kind": self.kind}
        if self.table is not None:
            found["table"] = self.table.to_json()
        elif self.units is not None:
            found["hdus"] = [unit.to_json() for unit in self.units]
        else:
            found["members"] = dict(self.members or {})
        return found

    @classmethod
    def from_json(cls, value: Any) -> Tree:
        """Read a tree; the digests of its nodes are taken as they stand.

        Raises
        ------
        DigestError
            If the tree is of an unknown format or has not its form.
        """
        data = mapping(value, "The tree")
        if data.get("format") not in _READABLE:
            raise DigestError(f"This casaprov does not know digest trees of the format {data.get('format')!r}.")
        tree = cls(
            kind=text(data.get("kind"), "kind"),
            table=optional(data, "table", TableNode.from_json),
            units=optional(data, "hdus", _units),
            members=optional(data, "members", _members),
        )
        if (tree.table, tree.units, tree.members).count(None) != 2:
            raise DigestError("A tree holds a table, the units of a FITS file or the members of a folder.")
        return tree


def _units(value: Any, name: str) -> list[FitsUnit]:
    return [FitsUnit.from_json(unit, name) for unit in sequence(value, name)]


def _members(value: Any, name: str) -> dict[str, Digest]:
    return {path: digest(member, path) for path, member in mapping(value, name).items()}


def content_digest(tree: Mapping[str, Any]) -> Digest:
    """Compute the content digest that a tree, as JSON values, stands for.

    Raises
    ------
    DigestError
        If it is no tree, or a digest inside it is not that of what is below it.
    """
    return Tree.from_json(tree).computed_digest()
