"""Reading one product for its digest, by all workers at once, and only what is not known.

A table is taken apart (:mod:`casaprov.digests.table_parts`): a large column is read in
parts, small columns and small sub-tables some at a time. A column or a
sub-table whose files have the stat stamps that they had before is not read at
all: after ``applycal``, that is all but CORRECTED_DATA and FLAG.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from casaprov.digests.measurement import Measurement, measured_directory, measured_table, to_json
from casaprov.digests.table import is_sampled, joined_leaf, joined_node
from casaprov.digests.table_parts import parts_of, plain_runs, storage_files
from casaprov.errors import DigestError, WorkerDied
from casaprov.files.kinds import is_table, members_of
from casaprov.files.stamps import Stamps, StatStamp, stamp
from casaprov.formats.tables import Runs
from casaprov.hashing import BLOCK_BYTES, canonical_json, digest_bytes
from casaprov.records.model import Tier

__all__ = ["Cache", "CallPool", "ParallelMeasurement"]

_SMALL_BYTES = 4 * 2**20
"""Tables up to this size are read whole, by one worker."""

_LARGE_BYTES = 2 * BLOCK_BYTES
"""Columns from this size are read in parts."""

_GROUP_BYTES = 2**20
_MOST_BYTES = 16 * BLOCK_BYTES
_PARTS_PER_WORKER = 4

# Others keep values elsewhere than in their own files, or compute them from other columns.
_MANAGERS = (
    "StandardStMan", "IncrementalStMan", "TiledColumnStMan", "TiledShapeStMan", "TiledCellStMan", "StManAipsIO",
)  # fmt: skip

_TEXTS = ("string", "record")

Files = tuple[tuple[str, StatStamp], ...]
"""Stamps by name of the file; none where they do not tell all that something consists of."""


class CallPool(Protocol):
    """What runs calls elsewhere (:class:`casaprov.processes.worker.WorkerPool`)."""

    size: int

    def submit(self, name: str, /, **arguments: Any) -> Future[Any]:
        """Call a function of another process; raise :class:`casaprov.errors.WorkerDied` if there is none any more."""
        ...

    def close(self) -> None:
        """End the other processes."""
        ...


class Cache(Protocol):
    """What keeps digests for later (:class:`casaprov.digests.disk_cache.DigestCache`)."""

    def get(self, name: str, stamp: str) -> Any:
        """Return what is known under a name and a stamp, else None."""
        ...

    def put(self, entries: Iterable[tuple[str, str, Any]]) -> None:
        """Keep values."""
        ...

    def size_bytes(self) -> int:
        """Bytes that are kept."""
        ...

    def close(self) -> None:
        """Keep nothing any more."""
        ...


def _product_name(path: Path, tier: Tier) -> str:
    """Name in the cache of a product."""
    return f"product:{path}:{tier}"


class ParallelMeasurement:
    """One product being measured.

    Parameters
    ----------
    stamps
        Stamps of its files; None if they do not tell all that it consists of.

    Attributes
    ----------
    stamps
        None also once it turned out that the product refers to tables elsewhere.
    found
        What may be kept if the stamps are still the same afterwards.
    """

    def __init__(self, path: Path, stamps: Stamps | None, *, pool: CallPool, cache: Cache, tier: Tier = "full") -> None:
        self.path = path
        self._tier = tier
        self.stamps = stamps
        self.found: list[tuple[str, str, Any]] = []
        self._pool = pool
        self._cache = cache

    def known(self) -> Measurement | None:
        """Return what an earlier session measured."""
        found = self._cached(_product_name(self.path, self._tier), self._files(self.path))
        return None if found is None else Measurement(**found)

    def measure(self) -> Measurement:
        """Measure the product."""
        if is_table(self.path):
            before = self.stamps or stamp(self.path)
            whole = _is_small(before)
            node = dict(self._small_tables([self.path], ()))[self.path] if whole else self._table(self.path, ())
            measured = measured_table(node, before)
        elif self.path.is_dir():
            measured = self._directory()
        else:
            measured = Measurement(**self._ask("measure", path=str(self.path), tier=self._tier).result())
        self._keep(_product_name(self.path, self._tier), self._files(self.path), to_json(measured))
        return measured

    # -- directories ---------------------------------------------------------

    def _directory(self) -> Measurement:
        try:
            before, members = self.stamps or stamp(self.path), list(members_of(self.path))
        except OSError as error:
            raise DigestError(f"{self.path} cannot be read: {error.strerror or error}.") from error
        files = {member: self._files(member) for member in members}
        found = {member: self._cached(f"member:{member}:{self._tier}", files[member]) for member in members}
        missing = [member for member in members if found[member] is None]
        for share, told in self._shared("members", missing):
            found.update(zip(share, told["members"], strict=True))
        for member in missing:
            self._keep(f"member:{member}:{self._tier}", files[member], found[member])
        return measured_directory(self.path, found, before)

    def _shared(self, name: str, paths: list[Path], **arguments: Any) -> Iterator[tuple[list[Path], Any]]:
        """Share paths out among the workers, at once; yield each share with what was told of it."""
        shares = [share for n in range(self._pool.size) if (share := paths[n :: self._pool.size])]
        asked = [self._ask(name, paths=[str(path) for path in share], tier=self._tier, **arguments) for share in shares]

        def told() -> Iterator[tuple[list[Path], Any]]:
            for call, share in zip(asked, shares, strict=True):
                found = call.result()
                self._opened(found["opened"])
                yield share, found

        return told()

    # -- tables --------------------------------------------------------------

    def _table(self, folder: Path, above: tuple[Path, ...]) -> dict[str, Any]:
        told = self._ask("outline", path=str(folder)).result()
        self._opened(told["tables"].values())
        line = (*above, folder.resolve())
        subs = {name: Path(sub) for name, sub in told["tables"].items()}
        subs = {name: sub for name, sub in subs.items() if is_table(sub) and sub.resolve() not in line}
        files = {name: self._files(sub) for name, sub in subs.items()}
        nodes = {name: self._cached(f"table:{sub}:{self._tier}", files[name]) for name, sub in subs.items()}
        missing = [name for name in subs if nodes[name] is None]
        # Asked for before the columns are waited for, so that no worker has nothing to do meanwhile.
        small = self._small_tables([subs[name] for name in missing if _is_small(stamp(subs[name]))], line)
        leaves = self._leaves(folder, told)
        measured = dict(small)
        for name in missing:
            nodes[name] = measured.get(subs[name]) or self._table(subs[name], line)
            self._keep(f"table:{subs[name]}:{self._tier}", files[name], nodes[name])
        return joined_node(told["outline"], leaves, {name: nodes.get(name) for name in told["tables"]})

    def _small_tables(self, folders: list[Path], line: tuple[Path, ...]) -> Iterator[tuple[Path, dict[str, Any]]]:
        """Have tables read whole, from now on; yield them with their nodes."""
        shared = self._shared("nodes", folders, above=[str(folder) for folder in line])
        return (found for share, told in shared for found in zip(share, told["nodes"], strict=True))

    # -- columns -------------------------------------------------------------

    def _leaves(self, folder: Path, told: Mapping[str, Any]) -> dict[str, Any]:
        columns: Mapping[str, Any] = told["columns"]
        stamps = dict(self._files(folder))
        held = {number: tuple((file, stamps[file]) for file in own) for number, own in storage_files(stamps).items()}
        files = {name: _column_files(held, column["storage"]) for name, column in columns.items()}
        # What a storage manager's files hold depends on what it is told that they hold.
        described = _described(told)
        names = {name: f"column:{folder}#{name}:{self._tier}:{described[name]}" for name in columns}
        leaves = {name: self._cached(names[name], files[name]) for name in columns}
        missing = [name for name in columns if leaves[name] is None]
        large = [name for name in missing if _is_large(columns[name])]
        runs = {name: self._ask("runs", path=str(folder), column=name) for name in large}
        small = [
            self._ask("leaves", path=str(folder), columns=group, tier=self._tier)
            for group in _groups(
                {name: columns[name]["bytes"] for name in missing if name not in large}, self._pool.size
            )
        ]
        shapes = {name: plain_runs(call.result()) for name, call in runs.items()}
        in_parts = [name for name in large if not self._is_sampled(columns[name], shapes[name])]
        parts = {name: self._parts(folder, name, columns[name], shapes[name]) for name in in_parts}
        if sampled := [name for name in large if name not in parts]:
            small.append(self._ask("leaves", path=str(folder), columns=sampled, tier=self._tier))
        for call in small:
            leaves.update(call.result())
        for name, asked in parts.items():
            leaves[name] = joined_leaf(columns[name]["outline"], shapes[name], [call.result() for call in asked])
        for name in missing:
            self._keep(names[name], files[name], leaves[name])
        return {name: leaves[name] for name in columns}

    def _is_sampled(self, column: Mapping[str, Any], runs: Runs) -> bool:
        return self._tier == "fast" and is_sampled(column["outline"]["type"], runs)

    def _parts(self, folder: Path, name: str, column: Mapping[str, Any], shapes: Runs) -> list[_Asked]:
        """Begin to read a column; return the calls that read its parts."""
        share = column["bytes"] // (self._pool.size * _PARTS_PER_WORKER)
        dtype = np.dtype(column["outline"]["type"])
        return [
            self._ask("part", path=str(folder), column=name, which=asdict(part))
            for part in parts_of(shapes, dtype, min(share, _MOST_BYTES))
        ]

    # -- what is known, and what is asked ----------------------------------------

    def _files(self, folder: Path) -> Files:
        """Stamps of a file, or of those below a folder, of this product, by name from there; none if they may not be used."""
        if self.stamps is None or not _is_below(folder, self.path):
            return ()
        if folder == self.path:
            return self.stamps.files
        first, _, rest = folder.absolute().relative_to(self.path).as_posix().partition("/")
        members = self._members.get(first, ())
        if not rest:
            return tuple(members)
        prefix = f"{rest}/"
        return tuple((name[len(prefix) :], found) for name, found in members if name == rest or name.startswith(prefix))

    @cached_property
    def _members(self) -> Mapping[str, list[tuple[str, StatStamp]]]:
        """Stamps of each member of the product, by name from there."""
        members: dict[str, list[tuple[str, StatStamp]]] = {}
        for name, found in self.stamps.files if self.stamps else ():
            first, _, rest = name.partition("/")
            members.setdefault(first, []).append((rest, found))
        return members

    def _cached(self, name: str, files: Files) -> Any:
        return self._cache.get(name, _told(files)) if files else None

    def _keep(self, name: str, files: Files, value: Any) -> None:
        if files:
            self.found.append((name, _told(files), value))

    def _opened(self, paths: Iterable[str]) -> None:
        """Note which tables were opened: the stamps say nothing of one that lies elsewhere."""
        if not all(_is_below(Path(path), self.path) for path in paths):
            self.stamps = None

    def _ask(self, name: str, **arguments: Any) -> _Asked:
        return _Asked(self._pool, name, arguments)


class _Asked:
    """A call of a worker that is under way."""

    def __init__(self, pool: CallPool, name: str, arguments: Mapping[str, Any]) -> None:
        self._pool = pool
        self._name = name
        self._arguments = arguments
        self._future = pool.submit(name, **arguments)

    def result(self) -> Any:
        """Wait for the answer; a call whose worker died is made once more."""
        try:
            return self._wait()
        except WorkerDied:
            self._future = self._pool.submit(self._name, **self._arguments)
            return self._wait()

    def _wait(self) -> Any:
        try:
            return self._future.result()
        except CancelledError:
            raise WorkerDied("The worker processes were closed.") from None


def _column_files(held: Mapping[int, Files], storage: Sequence[Any] | None) -> Files:
    """Choose from the files of a table, by storage manager, those that hold a column; none if they do not hold all of it."""
    if storage is None or storage[0] not in _MANAGERS:
        return ()
    return held.get(storage[1], ())


def _is_small(stamps: Stamps) -> bool:
    return stamps.size_bytes <= _SMALL_BYTES


def _is_large(column: Mapping[str, Any]) -> bool:
    return column["bytes"] >= _LARGE_BYTES and column["outline"]["type"] not in _TEXTS


def _groups(sizes: Mapping[str, int], share: int) -> list[list[str]]:
    """Put small columns together that are to be read by one call, so that there are about `share` calls."""
    groups: list[list[str]] = []
    limit = max(_GROUP_BYTES, sum(sizes.values()) // share)
    filled = 0
    for name in sorted(sizes, key=lambda name: -sizes[name]):
        if not groups or filled + sizes[name] // 2 > limit:
            groups.append([])
            filled = 0
        groups[-1].append(name)
        filled += sizes[name]
    return groups


def _described(told: Mapping[str, Any]) -> dict[str, str]:
    """Digest of what a table's description says of a column and of those that share its storage manager, by column."""
    columns = told["columns"]
    digests: dict[tuple[str, ...], str] = {}  # columns of one storage manager have the same
    found = {}
    for name, column in columns.items():
        storage = column["storage"]
        together = tuple(storage[2]) if storage else (name,)
        if together not in digests:
            shared = [[other, columns[other]["outline"], columns[other]["layout"]] for other in together]
            digests[together] = digest_bytes(canonical_json([told["outline"]["rows"], storage, shared]))
        found[name] = digests[together]
    return found


def _told(files: Files) -> str:
    return digest_bytes(repr([(name, *facts) for name, facts in files]).encode())


def _is_below(path: Path, folder: Path) -> bool:
    return path.absolute().is_relative_to(folder)
