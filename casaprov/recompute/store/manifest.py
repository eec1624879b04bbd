"""Manifests: the whole result of one call, as values.

A manifest names every file and folder of every product, so that a restored product is the one that the call left and
not a mixture. A content digest would not do: it is free of the layout, and two tables with the same digest can keep
the same column in different files.

A manifest is a text of two lines. The first is what a look at all results needs (:class:`Entry`), with a checksum; the
second is the rest, whose digest is in the first.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from casaprov.digests.json_fields import digest, integer, mapping, number, optional, sequence, text
from casaprov.digests.measurement import Measurement
from casaprov.errors import DigestError, StoreError
from casaprov.hashing import Digest, digest_bytes, digest_record

__all__ = [
    "UNKNOWN",
    "Entry",
    "Manifest",
    "Member",
    "StoredProduct",
    "decode_entry",
    "decode_manifest",
    "encode_manifest",
]

_FORMAT = "casaprov/manifest/1"
_MODES = 0o7777
_NONE = Digest("")

UNKNOWN = digest_record("casaprov/contents/1", "unknown")
"""Contents of products of which one was not digested."""


@dataclass(frozen=True, slots=True)
class Member:
    """A file or folder of a product.

    Attributes
    ----------
    path
        POSIX path relative to the product; empty for the product itself.
    mode
        Its permissions.
    digest
        Digest of the bytes of a file; None for a folder.
    """

    path: str
    mode: int
    size_bytes: int = 0
    digest: Digest | None = None


@dataclass(frozen=True, kw_only=True)
class StoredProduct:
    """A product of a call, in the store.

    Attributes
    ----------
    name
        Name of the output in the key of the call.
    members
        Its folders, each before what it holds, and its files. Empty if the call leaves nothing there.
    measurement
        The measurement that the record of the call has of it; None if the call leaves nothing there, or if the next
        call changed it before it was digested.
    """

    name: str
    members: tuple[Member, ...] = ()
    measurement: Measurement | None = None

    @property
    def size_bytes(self) -> int:
        """Size of all files."""
        return sum(member.size_bytes for member in self.members)

    @property
    def content_digest(self) -> Digest | None:
        """Content digest of the product; None if the call leaves nothing there, or if it is not known."""
        return None if self.measurement is None else self.measurement.content_digest


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The whole result of one call.

    Attributes
    ----------
    key
        The key that it is found by.
    computed_by
        Id of the Activity that computed it.
    computed_at
        Time of that, as records write it.
    seconds
        Duration of the call.
    returned
        Exact return value (:func:`casaprov.records.values.to_json`).
    log
        The part of CASA's log that the call wrote.
    printed
        Printed output: name of the stream, and text.
    figures
        Figures and other rich output, as MIME bundles.
    facts
        Facts about the call that reasons are made from: its parameters and inputs.
    task, notebook
        Its task, and the notebook that it was called in.
    aliases
        Further keys that it is found by.
    """

    key: Digest
    computed_by: str
    computed_at: str
    seconds: float
    task: str = ""
    notebook: str = ""
    aliases: tuple[Digest, ...] = ()
    products: tuple[StoredProduct, ...] = ()
    returned: Any = None
    log: str = ""
    printed: tuple[tuple[str, str], ...] = ()
    figures: tuple[dict[str, Any], ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def files(self) -> Iterator[Member]:
        """All files of all products."""
        return (member for product in self.products for member in product.members if member.digest is not None)

    @property
    def contents(self) -> Digest:
        """Digest of the content digests of all products; :data:`UNKNOWN` if one of them is not known."""
        if any(product.members and product.measurement is None for product in self.products):
            return UNKNOWN
        return digest_record("casaprov/contents/1", [[p.name, p.content_digest] for p in self.products])

    @property
    def entry(self) -> Entry:
        """The first line of it."""
        sizes = {member.digest: member.size_bytes for member in self.files if member.digest is not None}
        return Entry(
            key=self.key,
            computed_by=self.computed_by,
            computed_at=self.computed_at,
            seconds=self.seconds,
            task=self.task,
            notebook=self.notebook,
            aliases=self.aliases,
            contents=self.contents,
            sizes=dict(sorted(sizes.items())),
        )


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A short description of a manifest.

    Attributes
    ----------
    contents
        Digest of the content digests of all products; :data:`UNKNOWN` if one of them is not known.
    sizes
        Sizes of the objects that it needs, by digest.
    contested
        True if two runs with this key left different contents: its result is not served.
    body
        Digest of the rest of the manifest.
    """

    key: Digest
    computed_by: str
    computed_at: str
    seconds: float
    task: str
    notebook: str
    aliases: tuple[Digest, ...]
    contents: Digest
    sizes: Mapping[Digest, int]
    contested: bool = False
    body: Digest = _NONE

    @property
    def size_bytes(self) -> int:
        """Size of all objects that it needs."""
        return sum(self.sizes.values())


# -- text --------------------------------------------------------------------------


def encode_manifest(manifest: Manifest, *, contested: bool = False) -> bytes:
    """Write a manifest as text."""
    body = _line(
        {
            "products": [_product_json(product) for product in manifest.products],
            "returned": manifest.returned,
            "log": manifest.log,
            "printed": manifest.printed,
            "figures": manifest.figures,
            "facts": manifest.facts,
        }
    )
    entry = replace(manifest.entry, contested=contested, body=digest_bytes(body))
    head = {"format": _FORMAT, **{name: getattr(entry, name) for name in Entry.__dataclass_fields__}}
    return _line({**head, "checksum": digest_bytes(_line(head))}) + body


def decode_entry(data: bytes) -> Entry:
    """Read the first line of a manifest.

    Raises
    ------
    StoreError
        If it is damaged, or of a version that is not known.
    """
    try:
        head = dict(mapping(json.loads(data.partition(b"\n")[0]), "manifest"))
        if head.get("format") != _FORMAT:
            raise StoreError("Its format is not known to this version of casaprov.")
        checksum = head.pop("checksum", None)
        if checksum != digest_bytes(_line(head)):
            raise StoreError("Its first line does not have its checksum.")
        return Entry(
            key=_object(head["key"]),
            computed_by=text(head["computed_by"], "computed_by"),
            computed_at=text(head["computed_at"], "computed_at"),
            seconds=float(number(head["seconds"], "seconds")),
            task=text(head["task"], "task"),
            notebook=text(head["notebook"], "notebook"),
            aliases=tuple(_object(alias) for alias in sequence(head["aliases"], "aliases")),
            contents=digest(head["contents"], "contents"),
            sizes={
                _object(name): integer(size, "size", least=0) for name, size in mapping(head["sizes"], "sizes").items()
            },
            contested=head["contested"] is True,
            body=digest(head["body"], "body"),
        )
    except (ValueError, KeyError, RecursionError, DigestError) as error:
        raise StoreError(f"It cannot be read ({error}).") from error


def decode_manifest(data: bytes) -> Manifest:
    """Read a manifest.

    Raises
    ------
    StoreError
        If it is damaged, of a version that is not known, or names files outside of its products.
    """
    entry = decode_entry(data)
    body = data.partition(b"\n")[2]
    if digest_bytes(body) != entry.body:
        raise StoreError("It does not have its checksum.")
    try:
        rest = mapping(json.loads(body), "manifest")
        manifest = Manifest(
            key=entry.key,
            computed_by=entry.computed_by,
            computed_at=entry.computed_at,
            seconds=entry.seconds,
            task=entry.task,
            notebook=entry.notebook,
            aliases=entry.aliases,
            products=tuple(_product(product) for product in sequence(rest["products"], "products")),
            returned=rest["returned"],
            log=text(rest["log"], "log"),
            printed=tuple((text(stream, "stream"), text(part, "text")) for stream, part in rest["printed"]),
            figures=tuple(dict(mapping(figure, "figure")) for figure in sequence(rest["figures"], "figures")),
            facts=dict(mapping(rest["facts"], "facts")),
        )
    except (ValueError, KeyError, TypeError, RecursionError, DigestError) as error:
        raise StoreError(f"It cannot be read ({error}).") from error
    if manifest.entry.sizes != entry.sizes:
        raise StoreError("Its two lines do not fit together.")
    return manifest


def _line(value: Any) -> bytes:
    # In the order that they have: the order of the keys is part of a returned dict.
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def _product_json(product: StoredProduct) -> dict[str, Any]:
    return {
        "name": product.name,
        "members": [[m.path, m.mode, m.size_bytes, m.digest] for m in product.members],
        "measurement": None if product.measurement is None else product.measurement.to_json(),
    }


def _product(value: Any) -> StoredProduct:
    data = mapping(value, "product")
    members = tuple(_member(member) for member in sequence(data["members"], "members"))
    _check(members)
    return StoredProduct(
        name=text(data["name"], "name"),
        members=members,
        measurement=optional(data, "measurement", lambda found, _: Measurement.from_json(found)),
    )


def _member(value: Any) -> Member:
    path, mode, size_bytes, found = sequence(value, "member")
    if integer(mode, "mode", least=0) & ~_MODES:
        raise DigestError("mode is more than permissions.")
    return Member(
        text(path, "path"), mode, integer(size_bytes, "size", least=0), None if found is None else _object(found)
    )


def _object(value: Any) -> Digest:
    """Return the digest of an object if it is one: it becomes part of a path."""
    name = digest(value, "object")
    scheme, _, hexadecimal = name.partition(":")
    if scheme != "sha256" or len(hexadecimal) != 64 or set(hexadecimal) - set("0123456789abcdef"):
        raise DigestError(f"{name!r} is no digest.")
    return name


def _check(members: tuple[Member, ...]) -> None:
    """Refuse members that would be written outside of their product, or over each other.

    A store may be shared, and a member with a path such as ``../.bashrc`` would reach any file of the user.
    """
    folders: set[str] = set()
    seen: set[str] = set()
    for member in members:
        parts = member.path.split("/")
        parent = "/".join(parts[:-1])
        if member.path and ({"", ".", ".."} & set(parts) or "\0" in member.path):
            raise DigestError(f"{member.path!r} is no path inside a product.")
        if member.path in seen or (member.path and parent not in folders):
            raise DigestError(f"{member.path!r} is out of place.")
        seen.add(member.path)
        if member.digest is None:
            folders.add(member.path)
    if members and members[0].path:
        raise DigestError("the product itself is missing.")
