"""Content digests of tables, FITS files, plain files and folders.

:func:`measure` reads a product through readers that are passed in and returns
its digest with the tree that the digest is the root of;
:class:`casaprov.digests.digester.Digester` has that done by worker processes. The
protocol is documented in ``docs/explanation/digests.md``; its results never change
under the same version.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar, cast

from casaprov.digests.fits import unit_node
from casaprov.digests.json_fields import digest, integer, mapping, observations, optional, sequence, text
from casaprov.digests.sketch import sample_places
from casaprov.digests.table import SAMPLED_BYTES, table_node
from casaprov.digests.tree import TableNode, Tree
from casaprov.errors import DigestError
from casaprov.files.kinds import is_fits, is_table, members_of
from casaprov.files.regular import digest_file, open_regular
from casaprov.files.stamps import Stamps, stamp
from casaprov.formats.fits import FitsReader
from casaprov.formats.flag_versions import FLAG_VERSIONS, flag_versions
from casaprov.formats.tables import TableReader
from casaprov.hashing import Digest, digest_bytes, digest_record
from casaprov.records.model import Entity, Kind, Tier
from casaprov.records.observation import Observation
from casaprov.records.serialise import unstructure

__all__ = [
    "Measure",
    "Measurement",
    "Member",
    "facts_of",
    "measure",
    "measure_member",
    "measured_folder",
    "measured_table",
]

_KINDS: Mapping[str, Kind] = {"Measurement Set": "MeasurementSet", "Calibration": "CalibrationTable", "Image": "Image"}
_SAMPLE_BYTES = 4096
_Measured_co = TypeVar("_Measured_co", covariant=True)


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """The digest of a product, with the findings beside it.

    Attributes
    ----------
    size_bytes
        Size of the file, or of all files of the product, locks aside.
    byte_digest
        Digest of the stored bytes; only for single files.
    tree
        The tree of the content digest, as JSON values (:class:`casaprov.digests.tree.Tree`); None for a plain file.
    tier
        ``fast`` if of a large column or file only samples were read.
    stamp
        In the tier ``fast``, a digest of the stamps of the files before they were read
        (:attr:`casaprov.files.stamps.Stamps.digest`).
    observations
        What was observed, by its headers; empty also if nobody asked.
    """

    kind: Kind
    content_digest: Digest
    size_bytes: int
    byte_digest: Digest | None = None
    tree: dict[str, Any] | None = None
    tier: Tier = "full"
    stamp: Digest | None = None
    observations: tuple[Observation, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the measurement as JSON values, as workers send it."""
        return {**vars(self), "observations": unstructure(self.observations)}

    @classmethod
    def from_json(cls, value: Any) -> Measurement:
        """Read a measurement from the answer of a worker or from a cache; raise :class:`DigestError` if it is none."""
        data = mapping(value, "measurement")
        return cls(
            kind=cast("Kind", text(data.get("kind"), "kind")),
            content_digest=digest(data.get("content_digest"), "content_digest"),
            size_bytes=integer(data.get("size_bytes"), "size_bytes"),
            byte_digest=optional(data, "byte_digest", digest),
            tree=cast("dict[str, Any] | None", optional(data, "tree", mapping)),
            tier=cast("Tier", text(data.get("tier"), "tier")),
            stamp=optional(data, "stamp", digest),
            observations=observations(data.get("observations", ())),
        )


def facts_of(measured: Measurement | Entity, *, derived: bool) -> dict[str, Any]:
    """Return the facts of a state that a measurement finds, by the names that both have for them.

    Parameters
    ----------
    derived
        Whether the record says which state it came from. Visibilities then have the observations of that one, with
        identifiers that tasks do not copy; an image shows only a part of them.
    """
    names = ("kind", "content_digest", "byte_digest", "size_bytes", "tier", "stamp", "observations")
    facts = {name: getattr(measured, name) for name in names}
    if derived:
        own = (row for row in measured.observations if row.dataproduct_type != "visibility")
        facts["observations"] = tuple(own)
    return facts


class Measure(Protocol[_Measured_co]):
    """A function that measures a product (:meth:`casaprov.digests.digester.Digester.measure`)."""

    def __call__(self, path: Path, /, *, tier: Tier = "full") -> _Measured_co:
        """Measure it."""
        ...


def measure(
    path: Path, reader: Callable[[], TableReader], fits: Callable[[], FitsReader], *, tier: Tier = "full"
) -> Measurement:
    """Digest and sketch a table, a FITS file, any other file or a folder.

    Parameters
    ----------
    reader, fits
        Return what reads tables and FITS files; called only if there is one.
    tier
        ``fast`` reads samples only of columns and files of more than 64 MiB.

    Raises
    ------
    DigestError
        If there is nothing at `path`, it cannot be read, or it is or holds
        something else than files and folders: pipes, sockets, devices.
    MissingDependency
        If the library that could read it is not installed.
    """
    try:
        if is_table(path):
            before = stamp(path)
            return measured_table(table_node(path, reader(), tier=tier), before)
        if path.is_dir():
            before = stamp(path)
            members = {member: measure_member(member, reader, fits, tier) for member in members_of(path)}
            return measured_folder(path, members, before)
        if not path.exists():
            raise DigestError(f"There is no file or table {path}.", hint="Check the name and the working folder.")
        return _measure_samples(path) if tier == "fast" and _is_sampled(path) else _measure_file(path, fits)
    except OSError as error:
        raise DigestError(f"{path} cannot be read: {error.strerror or error}.") from error


# -- tables ----------------------------------------------------------------------


def measured_table(node: TableNode, before: Stamps) -> Measurement:
    """Return the measurement of a table from its node, and its stamps before it was read."""
    kind = _KINDS.get(node.outline.type, "Table")
    return Measurement(
        kind=kind,
        content_digest=node.digest,
        size_bytes=before.size_bytes,
        tree=Tree(kind, table=node).to_json(),
        **_tier(before, fast=node.has_samples()),
    )


def _tier(before: Stamps, *, fast: bool) -> dict[str, Any]:
    return {"tier": "fast", "stamp": before.digest} if fast else {}


# -- files -----------------------------------------------------------------------


def _is_sampled(path: Path) -> bool:
    return path.stat().st_size > SAMPLED_BYTES


def _measure_samples(path: Path) -> Measurement:
    """Digest blocks of a large file, at the places of the samples of a sketch of so many blocks."""
    before = stamp(path)
    size = before.size_bytes
    hasher = hashlib.sha256()
    with open_regular(path) as stream:
        for block in sample_places(-(-size // _SAMPLE_BYTES)).tolist():
            stream.seek(block * _SAMPLE_BYTES)
            hasher.update(stream.read(_SAMPLE_BYTES))
    samples = digest_record("casaprov/file-samples/1", size, hasher.hexdigest())
    kind: Kind = "FITS" if is_fits(path) else "File"
    return Measurement(kind=kind, content_digest=samples, size_bytes=size, **_tier(before, fast=True))


def _measure_file(path: Path, fits: Callable[[], FitsReader]) -> Measurement:
    size = path.stat().st_size
    in_bytes = digest_file(path)
    if not is_fits(path):
        return Measurement(kind="File", content_digest=in_bytes, size_bytes=size, byte_digest=in_bytes)
    tree = Tree("FITS", units=[unit_node(hdu) for hdu in fits().hdus(path)])
    return Measurement(
        kind="FITS",
        content_digest=tree.computed_digest(),
        size_bytes=size,
        byte_digest=in_bytes,
        tree=tree.to_json(),
    )


# -- folders ---------------------------------------------------------------------


class Member(NamedTuple):
    """The digest of a member of a folder, and how much was read for it."""

    digest: Digest
    tier: Tier

    @classmethod
    def from_json(cls, value: Any) -> Member:
        """Read a member from the answer of a worker or from a cache; raise :class:`DigestError` if it is none."""
        found, tier = sequence(value, "member")
        return cls(digest(found, "member"), cast("Tier", text(tier, "tier")))


def measured_folder(path: Path, found: Mapping[Path, Member], before: Stamps) -> Measurement:
    """Return the measurement of a folder from those of its members, and its stamps before they were read."""
    members = {member.relative_to(path).as_posix(): measured.digest for member, measured in found.items()}
    tree = Tree("Directory", members=members)
    return Measurement(
        kind="Directory",
        content_digest=tree.computed_digest(),
        size_bytes=before.size_bytes,
        tree=tree.to_json(),
        **_tier(before, fast=any(measured.tier == "fast" for measured in found.values())),
    )


def measure_member(path: Path, reader: Callable[[], TableReader], fits: Callable[[], FitsReader], tier: Tier) -> Member:
    """Digest a member of a folder; raise the errors of :func:`measure`."""
    if path.is_symlink() and (path.is_dir() or not path.exists()):
        # Followed, it could lead anywhere, even back here.
        return Member(digest_record("casaprov/link/1", path.readlink().name), "full")
    if path.name == FLAG_VERSIONS:
        try:
            return Member(digest_bytes(flag_versions(path)), "full")
        except OSError as error:
            raise DigestError(f"{path} cannot be read: {error.strerror or error}.") from error
    measured = measure(path, reader, fits, tier=tier)
    return Member(measured.content_digest, measured.tier)
