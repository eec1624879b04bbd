"""Content digests of tables, FITS files, plain files and directories.

:func:`measure` reads a product through readers that are passed in and returns
its digest with the tree that the digest is the root of;
:class:`casaprov.digests.digester.Digester` has that done by worker processes. The
protocol is documented in
``docs/explanation/digests.md``; what it yields never changes under the same
version.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from casaprov.digests.fits import fits_digest, hdu_node
from casaprov.digests.sketch import sample_places
from casaprov.digests.table import SAMPLED_BYTES, check_node, table_node
from casaprov.errors import DigestError
from casaprov.files.kinds import is_fits, is_table, members_of
from casaprov.files.regular import open_regular
from casaprov.files.stamps import Stamps, stamp
from casaprov.formats.fits import FitsReader
from casaprov.formats.flag_versions import FLAG_VERSIONS, flag_versions
from casaprov.formats.tables import TableReader
from casaprov.hashing import Digest, digest_bytes, digest_record
from casaprov.records.model import Entity, Kind, Tier

__all__ = [
    "TREE_FORMAT",
    "Measure",
    "Measurement",
    "content_digest",
    "digest_file",
    "facts_of",
    "measure",
    "measured_table",
    "to_json",
]

TREE_FORMAT = "casaprov/tree/1"

_KINDS: Mapping[str, Kind] = {"Measurement Set": "MeasurementSet", "Calibration": "CalibrationTable", "Image": "Image"}
_SAMPLE_BYTES = 4096
_Measured_co = TypeVar("_Measured_co", covariant=True)


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What measuring a product gave.

    Attributes
    ----------
    size_bytes
        Size of the file, or of all files of the product, locks aside.
    byte_digest
        Digest of the stored bytes; only for single files.
    tree
        JSON values that `content_digest` can be computed from
        (:func:`content_digest`), with sketches; None for a plain file.
    tier
        ``fast`` if of a large column or file only samples were read.
    stamp
        In the tier ``fast``, the stamps of the files before they were read (:attr:`casaprov.files.stamps.Stamps.told`).
    """

    kind: Kind
    content_digest: Digest
    size_bytes: int
    byte_digest: Digest | None = None
    tree: dict[str, Any] | None = None
    tier: Tier = "full"
    stamp: Digest | None = None


def facts_of(measured: Measurement | Entity) -> dict[str, Any]:
    """Return what a measurement says of a state, by the names that both give it."""
    names = ("kind", "content_digest", "byte_digest", "size_bytes", "tier", "stamp")
    return {name: getattr(measured, name) for name in names}


class Measure(Protocol[_Measured_co]):
    """What measures a product (:meth:`casaprov.digests.digester.Digester.measure`)."""

    def __call__(self, path: Path, /, *, tier: Tier = "full") -> _Measured_co:
        """Measure it."""
        ...


def measure(
    path: Path, reader: Callable[[], TableReader], fits: Callable[[], FitsReader], *, tier: Tier = "full"
) -> Measurement:
    """Digest and sketch a table, a FITS file, any other file or a directory.

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
            return _measure_directory(path, reader, fits, tier)
        if not path.exists():
            raise DigestError(f"There is no file or table {path}.", hint="Check the name and the working folder.")
        return _sampled_file(path) if tier == "fast" and _is_sampled(path) else _measure_file(path, fits)
    except OSError as error:
        raise DigestError(f"{path} cannot be read: {error.strerror or error}.") from error


def content_digest(tree: Mapping[str, Any]) -> Digest:
    """Compute the content digest that a tree stands for, from its leaves upwards.

    Raises
    ------
    DigestError
        If the tree is of an unknown format, or a digest inside it is not that
        of what is below it.
    """
    if tree.get("format") != TREE_FORMAT:
        raise DigestError(f"This casaprov does not know digest trees of the format {tree.get('format')!r}.")
    if "table" in tree:
        return check_node(tree["table"])
    return fits_digest(tree["hdus"]) if "hdus" in tree else _directory_digest(tree["members"])


def digest_file(path: Path) -> Digest:
    """Digest of the bytes of a file."""
    with open_regular(path) as stream:
        return Digest("sha256:" + hashlib.file_digest(stream, "sha256").hexdigest())


def measured_table(node: dict[str, Any], before: Stamps) -> Measurement:
    """Return the measurement of a table from its node, and its stamps before it was read."""
    kind = _KINDS.get(node["type"], "Table")
    tree = {"format": TREE_FORMAT, "kind": kind, "table": node}
    return Measurement(
        kind=kind,
        content_digest=node["digest"],
        size_bytes=before.size_bytes,
        tree=tree,
        **_tier(before, fast=_has_samples(node)),
    )


def _tier(before: Stamps, *, fast: bool) -> dict[str, Any]:
    return {"tier": "fast", "stamp": before.told} if fast else {}


def _has_samples(node: Mapping[str, Any]) -> bool:
    return any("samples" in column for column in node["columns"].values()) or any(
        sub is not None and _has_samples(sub) for sub in node["tables"].values()
    )


def _is_sampled(path: Path) -> bool:
    return path.stat().st_size > SAMPLED_BYTES


def _sampled_file(path: Path) -> Measurement:
    """Digest blocks of a large file, at the places of the samples of a sketch of so many blocks."""
    before = stamp(path)
    size = before.size_bytes
    hasher = hashlib.sha256()
    with open_regular(path) as stream:
        for block in sample_places(-(-size // _SAMPLE_BYTES)).tolist():
            stream.seek(block * _SAMPLE_BYTES)
            hasher.update(stream.read(_SAMPLE_BYTES))
    digest = digest_record("casaprov/file-samples/1", size, hasher.hexdigest())
    kind: Kind = "FITS" if is_fits(path) else "File"
    return Measurement(kind=kind, content_digest=digest, size_bytes=size, **_tier(before, fast=True))


def _measure_file(path: Path, fits: Callable[[], FitsReader]) -> Measurement:
    size = path.stat().st_size
    in_bytes = digest_file(path)
    if not is_fits(path):
        return Measurement(kind="File", content_digest=in_bytes, size_bytes=size, byte_digest=in_bytes)
    hdus = [hdu_node(hdu) for hdu in fits().hdus(path)]
    tree = {"format": TREE_FORMAT, "kind": "FITS", "hdus": hdus}
    return Measurement(kind="FITS", content_digest=fits_digest(hdus), size_bytes=size, byte_digest=in_bytes, tree=tree)


def _measure_directory(
    path: Path, reader: Callable[[], TableReader], fits: Callable[[], FitsReader], tier: Tier
) -> Measurement:
    before = stamp(path)
    return measured_directory(path, {m: measure_member(m, reader, fits, tier) for m in members_of(path)}, before)


def measured_directory(path: Path, found: Mapping[Path, tuple[Digest, Tier]], before: Stamps) -> Measurement:
    """Return the measurement of a directory from what was measured of its members, and its stamps before that."""
    members = {member.relative_to(path).as_posix(): digest for member, (digest, _) in found.items()}
    return Measurement(
        kind="Directory",
        content_digest=_directory_digest(members),
        size_bytes=before.size_bytes,
        tree={"format": TREE_FORMAT, "kind": "Directory", "members": members},
        **_tier(before, fast=any(told == "fast" for _, told in found.values())),
    )


def _directory_digest(members: Mapping[str, Digest]) -> Digest:
    return digest_record("casaprov/directory/1", members)


def measure_member(
    path: Path, reader: Callable[[], TableReader], fits: Callable[[], FitsReader], tier: Tier
) -> tuple[Digest, Tier]:
    """Digest a member of a directory; raise what :func:`measure` raises."""
    if path.is_symlink() and (path.is_dir() or not path.exists()):
        # Followed, it could lead anywhere, even back here.
        return digest_record("casaprov/link/1", path.readlink().name), "full"
    if path.name == FLAG_VERSIONS:
        try:
            return digest_bytes(flag_versions(path)), "full"
        except OSError as error:
            raise DigestError(f"{path} cannot be read: {error.strerror or error}.") from error
    measured = measure(path, reader, fits, tier=tier)
    return measured.content_digest, measured.tier


def to_json(measured: Measurement) -> dict[str, Any]:
    """Turn a Measurement into JSON values, as workers send it."""
    return vars(measured)
