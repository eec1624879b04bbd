"""The digest of one product, computed by all workers at once, from the parts that changed.

There are two ways to one digest. A process that reads a product whole
(:func:`casaprov.digests.measurement.measure`) digests column after column and table
after table. Workers read parts (:mod:`casaprov.digests.table_parts`): a large column
in several, small columns and small sub-tables some at a time, and what has the
stat stamps that it had before not at all: after ``applycal``, that is all but
CORRECTED_DATA and FLAG. The two ways meet in :func:`casaprov.digests.table.join_leaf`
for columns, :meth:`casaprov.digests.tree.TableNode.of` for tables and
:func:`casaprov.digests.measurement.measured_folder` for folders: all digests of more
than one part are computed there. Tests hold the two to each other.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import CancelledError, Future
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, Literal, NamedTuple, Protocol, TypeVar

import numpy as np

from casaprov.digests.json_fields import mapping, observations, sequence, text
from casaprov.digests.measurement import Measurement, Member, measured_folder, measured_table
from casaprov.digests.table import ColumnPart, is_sampled, join_leaf, runs_from_json
from casaprov.digests.table_parts import ColumnFacts, TableFacts, parts_of, storage_files
from casaprov.digests.tree import ColumnLeaf, TableNode
from casaprov.errors import CasaprovError, DigestError, LimitReached, WorkerClosed, WorkerDied, within
from casaprov.files.kinds import is_fits, is_table, members_of
from casaprov.files.stamps import Stamps, StatStamp, stamp
from casaprov.formats.tables import Runs, Storage
from casaprov.hashing import BLOCK_BYTES, canonical_json, digest_bytes
from casaprov.records.model import Observation, Tier

__all__ = ["Cache", "CallPool", "Observes", "ParallelMeasurement"]

_log = logging.getLogger(__name__)

T = TypeVar("T")

_SMALL_BYTES = 4 * 2**20
"""Tables up to this size are read whole, by one worker."""

_LARGE_BYTES = 2 * BLOCK_BYTES
"""Columns from this size are read in parts."""

_GROUP_BYTES = 2**20
_MOST_BYTES = 16 * BLOCK_BYTES
_PARTS_PER_WORKER = 4

# Other storage managers keep values elsewhere than in their own files, or compute them from other columns.
_MANAGERS = (
    "StandardStMan", "IncrementalStMan", "TiledColumnStMan", "TiledShapeStMan", "TiledCellStMan", "StManAipsIO",
)  # fmt: skip

_TEXTS = ("string", "record")

Files = tuple[tuple[str, StatStamp], ...]
"""Stamps by name of the file; empty where stamps do not cover all that something consists of."""


class CallPool(Protocol):
    """A pool that runs calls in other processes (:class:`casaprov.processes.worker.WorkerPool`)."""

    size: int

    def submit(self, name: str, /, **arguments: Any) -> Future[Any]:
        """Call a function of another process; raise :class:`casaprov.errors.WorkerDied` if there is none any more."""
        ...

    def rest(self) -> None:
        """End the other processes until the next call."""
        ...

    def close(self) -> None:
        """End the other processes."""
        ...


class Cache(Protocol):
    """A store that keeps digests for later (:class:`casaprov.digests.disk_cache.DigestCache`)."""

    def get(self, name: str, stamp: str) -> Any:
        """Return the value that a name has under a stamp; None if it has none."""
        ...

    def put(self, entries: Iterable[tuple[str, str, Any]]) -> None:
        """Keep values."""
        ...

    def size_bytes(self) -> int:
        """Return how many bytes are kept."""
        ...

    def rest(self) -> None:
        """Hold no file open until the next use."""
        ...

    def close(self) -> None:
        """Release the store; no value is kept afterwards."""
        ...


Observes = Literal["nothing", "headers", "headers and observer"]
"""Extent of what is read of the headers: the name of an observer is personal data."""

_OBSERVED = {"nothing": "", "headers": ":observed", "headers and observer": ":observed by"}
_ASDM = "ASDM.xml"


def _product_name(path: Path, tier: Tier, observes: Observes) -> str:
    """Name in the cache of a product."""
    return f"product:{path}:{tier}{_OBSERVED[observes]}"


class ParallelMeasurement:
    """One product, measured by the workers of a pool.

    Parameters
    ----------
    stamps
        Stamps of its files; None if they do not cover all that it consists of.
    observes
        How much is read of what its headers say about the observation.

    Attributes
    ----------
    stamps
        None also once it turned out that the product refers to tables elsewhere.
    found
        Names, stamps and values for the cache, valid if the stamps are still the same afterwards.
    """

    def __init__(
        self,
        path: Path,
        stamps: Stamps | None,
        *,
        pool: CallPool,
        cache: Cache,
        tier: Tier = "full",
        observes: Observes = "nothing",
    ) -> None:
        self.path = path
        self.stamps = stamps
        self.found: list[tuple[str, str, Any]] = []
        self._tier = tier
        self._pool = pool
        self._cache = cache
        self._observes: Observes = observes
        self._calls: list[Future[Any]] = []  # all that were asked for

    def known(self) -> Measurement | None:
        """Return the measurement that the cache has of the product, if nothing changed since."""
        # What was measured with its headers will do for one who does not ask for them.
        names: tuple[Observes, ...] = ("nothing", "headers") if self._observes == "nothing" else (self._observes,)
        files = self._files(self.path)
        found = (
            self._cached(_product_name(self.path, self._tier, name), files, Measurement.from_json) for name in names
        )
        return next((measured for measured in found if measured is not None), None)

    def measure(self) -> Measurement:
        """Measure the product.

        Raises
        ------
        DigestError
            If it cannot be read, takes more to read than it may, or ends the process that reads it.
        WorkerClosed
            If the workers are closed meanwhile.
        """
        try:
            return self._measured()
        except WorkerClosed:
            raise
        except (LimitReached, WorkerDied) as error:
            for asked in self._calls:
                asked.cancel()
            raise DigestError(f"{self.path} cannot be read: {within(error.message)}", hint=error.hint) from error

    def _measured(self) -> Measurement:
        asked = self._ask_observations()  # before the columns, so that the user never waits for it alone
        if is_table(self.path):
            before = self.stamps or stamp(self.path)
            node = self._table_read_whole() if _is_small(before) else self._table(self.path, ())
            measured = measured_table(node, before)
        elif self.path.is_dir():
            measured = self._folder()
        else:
            measured = self._ask(Measurement.from_json, "measure", path=str(self.path), tier=self._tier).result()
        if asked is not None:
            try:
                measured = replace(measured, observations=asked.result())
            except CasaprovError as error:
                _log.info("What was observed is not known: %s", error)
        self._keep(_product_name(self.path, self._tier, self._observes), self._files(self.path), measured.to_json())
        return measured

    def _ask_observations(self) -> _Asked[tuple[Observation, ...]] | None:
        """Have the headers of an observation read, from now on, if the product may have any."""
        path = self.path
        if self._observes == "nothing" or not (is_table(path) or (path / _ASDM).is_file() or _is_fits(path)):
            return None
        by = self._observes == "headers and observer"
        return self._ask(observations, "observe", path=str(path), with_observer=by)

    # -- folders -------------------------------------------------------------

    def _folder(self) -> Measurement:
        try:
            before, members = self.stamps or stamp(self.path), list(members_of(self.path))
        except OSError as error:
            raise DigestError(f"{self.path} cannot be read: {error.strerror or error}.") from error
        files = {member: self._files(member) for member in members}
        names = {member: f"member:{member}:{self._tier}" for member in members}
        found: dict[Path, Member] = {}
        missing = []
        for member in members:
            known = self._cached(names[member], files[member], Member.from_json)
            if known is None:
                missing.append(member)
            else:
                found[member] = known
        for member, measured in self._shared("members", Member.from_json, missing):
            self._keep(names[member], files[member], measured)
            found[member] = measured
        return measured_folder(self.path, {member: found[member] for member in members}, before)

    # -- tables --------------------------------------------------------------

    def _table(self, folder: Path, above: tuple[Path, ...]) -> TableNode:
        """Digest a table in parts; its sub-tables too, unless they led to it (`above`)."""
        facts = self._ask(TableFacts.from_json, "outline", path=str(folder)).result()
        self._note_opened(facts.tables.values())
        line = (*above, folder.resolve())
        subs = {name: sub for name, sub in facts.tables.items() if is_table(sub) and sub.resolve() not in line}
        files = {name: self._files(sub) for name, sub in subs.items()}
        names = {name: f"table:{sub}:{self._tier}" for name, sub in subs.items()}
        nodes = {name: self._cached(names[name], files[name], _node) for name in subs}
        missing = [name for name in subs if nodes[name] is None]
        # Asked for before the columns are waited for, so that no worker is idle meanwhile.
        small = self._small_tables([subs[name] for name in missing if _is_small(stamp(subs[name]))], line)
        leaves = self._leaves(folder, facts)
        measured = dict(small)
        for name in missing:
            node = measured.get(subs[name]) or self._table(subs[name], line)
            self._keep(names[name], files[name], node.to_json())
            nodes[name] = node
        return TableNode.of(facts.outline, leaves, {name: nodes.get(name) for name in facts.tables})

    def _table_read_whole(self) -> TableNode:
        """Have the product, a small table, read by one worker."""
        ((_, node),) = self._small_tables([self.path], ())
        return node

    def _small_tables(self, folders: list[Path], line: tuple[Path, ...]) -> Iterator[tuple[Path, TableNode]]:
        """Have tables read whole, from now on; return an iterator that waits for their nodes."""
        return self._shared("nodes", _node, folders, above=[str(folder) for folder in line])

    # -- columns -------------------------------------------------------------

    def _leaves(self, folder: Path, facts: TableFacts) -> dict[str, ColumnLeaf]:
        """Return the leaves of all columns; only those that are not known are read."""
        columns = facts.columns
        stamps = dict(self._files(folder))
        held = {number: tuple((file, stamps[file]) for file in own) for number, own in storage_files(stamps).items()}
        files = {name: _column_files(held, column.storage) for name, column in columns.items()}
        # The files of a storage manager hold what the table's description says that they hold.
        described = _described(facts)
        names = {name: f"column:{folder}#{name}:{self._tier}:{described[name]}" for name in columns}
        leaves: dict[str, ColumnLeaf] = {}
        missing = []
        for name in columns:
            known = self._cached(names[name], files[name], _leaf)
            if known is None:
                missing.append(name)
            else:
                leaves[name] = known
        leaves |= self._read(folder, {name: columns[name] for name in missing})
        for name in missing:
            self._keep(names[name], files[name], leaves[name].to_json())
        return {name: leaves[name] for name in columns}

    def _read(self, folder: Path, columns: Mapping[str, ColumnFacts]) -> dict[str, ColumnLeaf]:
        """Have columns read: small ones some at a time, large ones in parts."""
        large = {name: column for name, column in columns.items() if _is_large(column)}
        sizes = {name: column.size_bytes for name, column in columns.items() if name not in large}
        # All is asked for before anything is waited for.
        runs = {name: self._ask(runs_from_json, "runs", path=str(folder), column=name) for name in large}
        whole = [self._ask_leaves(folder, group) for group in _groups(sizes, self._pool.size)]
        shapes = {name: asked.result() for name, asked in runs.items()}
        sampled = [name for name, column in large.items() if self._is_sampled(column, shapes[name])]
        parts = {
            name: self._ask_parts(folder, name, column, shapes[name])
            for name, column in large.items()
            if name not in sampled
        }
        if sampled:
            whole.append(self._ask_leaves(folder, sampled))
        leaves = {name: leaf for asked in whole for name, leaf in asked.result().items()}
        for name, calls in parts.items():
            leaves[name] = join_leaf(columns[name].outline, shapes[name], [asked.result() for asked in calls])
        return leaves

    def _is_sampled(self, column: ColumnFacts, runs: Runs) -> bool:
        return self._tier == "fast" and is_sampled(column.outline.type, runs)

    def _ask_leaves(self, folder: Path, names: list[str]) -> _Asked[dict[str, ColumnLeaf]]:
        return self._ask(_named_leaves, "leaves", path=str(folder), columns=names, tier=self._tier)

    def _ask_parts(self, folder: Path, name: str, column: ColumnFacts, shapes: Runs) -> list[_Asked[ColumnPart]]:
        """Begin to read a column; return the calls that read its parts."""
        share = column.size_bytes // (self._pool.size * _PARTS_PER_WORKER)
        dtype = np.dtype(column.outline.type)
        return [
            self._ask(ColumnPart.from_json, "part", path=str(folder), column=name, which=part.to_json())
            for part in parts_of(shapes, dtype, min(share, _MOST_BYTES))
        ]

    # -- what is known -------------------------------------------------------

    def _files(self, path: Path) -> Files:
        """Return the stamps of a file, or of those below a folder, of this product, by name from there.

        They are empty where they may not be used.
        """
        if self.stamps is None or not _is_below(path, self.path):
            return ()
        if path == self.path:
            return self.stamps.files
        first, _, rest = path.absolute().relative_to(self.path).as_posix().partition("/")
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

    def _cached(self, name: str, files: Files, read: Callable[[Any], T]) -> T | None:
        value = self._cache.get(name, _stamp_of(files)) if files else None
        return None if value is None else read(value)

    def _keep(self, name: str, files: Files, value: Any) -> None:
        if files:
            self.found.append((name, _stamp_of(files), value))

    # -- what is asked -------------------------------------------------------

    def _ask(self, read: Callable[[Any], T], name: str, **arguments: Any) -> _Asked[T]:
        asked = _Asked(self._pool, read, name, arguments)
        self._calls.append(asked.future)
        return asked

    def _shared(
        self, name: str, read: Callable[[Any], T], paths: list[Path], **arguments: Any
    ) -> Iterator[tuple[Path, T]]:
        """Share paths out among the workers, from now on; return an iterator that waits for the answer to each."""
        shares = [share for n in range(self._pool.size) if (share := paths[n :: self._pool.size])]
        asked = [
            self._ask(_Answers.from_json, name, paths=[str(path) for path in share], tier=self._tier, **arguments)
            for share in shares
        ]

        def answers() -> Iterator[tuple[Path, T]]:
            for call, share in zip(asked, shares, strict=True):
                found = call.result()
                self._note_opened(found.opened)
                yield from zip(share, map(read, found.answers), strict=True)

        return answers()

    def _note_opened(self, paths: Iterable[Path]) -> None:
        """Distrust the stamps once a table was opened that lies outside of the product: they do not cover it."""
        if not all(_is_below(path, self.path) for path in paths):
            self.stamps = None


class _Answers(NamedTuple):
    """The answers to a call about several paths, and the tables that were opened for them."""

    answers: list[Any]
    opened: list[Path]

    @classmethod
    def from_json(cls, value: Any) -> _Answers:
        data = mapping(value, "answer")
        opened = [Path(text(path, "opened")) for path in sequence(data.get("opened"), "opened")]
        return cls(sequence(data.get("answers"), "answers"), opened)


class _Asked(Generic[T]):
    """A call of a worker that is under way.

    Parameters
    ----------
    read
        Makes of the answer, which is JSON, what the call returns.
    """

    def __init__(self, pool: CallPool, read: Callable[[Any], T], name: str, arguments: Mapping[str, Any]) -> None:
        self._pool = pool
        self._read = read
        self._name = name
        self._arguments = arguments
        self.future = pool.submit(name, **arguments)

    def result(self) -> T:
        """Wait for the answer; a call whose worker died is made once more."""
        try:
            return self._wait()
        except WorkerClosed:
            raise
        except WorkerDied:
            self.future = self._pool.submit(self._name, **self._arguments)
            return self._wait()

    def _wait(self) -> T:
        try:
            return self._read(self.future.result())
        except CancelledError:
            raise WorkerClosed("The worker processes were closed.") from None


def _is_fits(path: Path) -> bool:
    try:
        return path.is_file() and is_fits(path)
    except (OSError, DigestError):
        return False


def _node(value: Any) -> TableNode:
    return TableNode.from_json(value, "table")


def _leaf(value: Any) -> ColumnLeaf:
    return ColumnLeaf.from_json(value, "column")


def _named_leaves(value: Any) -> dict[str, ColumnLeaf]:
    return {name: ColumnLeaf.from_json(leaf, name) for name, leaf in mapping(value, "columns").items()}


def _column_files(held: Mapping[int, Files], storage: Storage | None) -> Files:
    """Choose from the files of a table, by storage manager, those that hold a column; none if they do not hold all of it."""
    if storage is None or storage.type not in _MANAGERS:
        return ()
    return held.get(storage.number, ())


def _is_small(stamps: Stamps) -> bool:
    return stamps.size_bytes <= _SMALL_BYTES


def _is_large(column: ColumnFacts) -> bool:
    return column.size_bytes >= _LARGE_BYTES and column.outline.type not in _TEXTS


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


def _described(facts: TableFacts) -> dict[str, str]:
    """Digest the description of each column and of those that share its storage manager, by column."""
    digests: dict[tuple[str, ...], str] = {}  # columns of one storage manager have the same
    found = {}
    for name, column in facts.columns.items():
        together = column.storage.columns if column.storage else (name,)
        if together not in digests:
            shared = [[other, *_description(facts.columns[other])] for other in together]
            storage = column.storage and [column.storage.type, column.storage.number, list(together)]
            digests[together] = digest_bytes(canonical_json([facts.outline.rows, storage, shared]))
        found[name] = digests[together]
    return found


def _description(column: ColumnFacts) -> list[Any]:
    return [column.outline.to_json(), list(column.layout)]


def _stamp_of(files: Files) -> str:
    return digest_bytes(repr([(name, *facts) for name, facts in files]).encode())


def _is_below(path: Path, folder: Path) -> bool:
    return path.absolute().is_relative_to(folder)
