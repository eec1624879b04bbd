"""Eviction: the results that a full store drops.

What was used longest ago goes first, and of that rather what takes much space and was computed fast: of two results
that lie idle for the same time, the one that saves less time for each of its bytes goes. Readers are not asked; a
restore whose objects vanish is a miss.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from casaprov.errors import StoreError
from casaprov.hashing import Digest
from casaprov.recompute.store.folder import StoreFolder
from casaprov.recompute.store.manifest import Entry, decode_entry

__all__ = ["Evicted", "Kept", "Limits", "choose", "evict", "kept_results"]

_SHORTEST_S = 0.01  # a call that took less counts as one of this duration


@dataclass(frozen=True)
class Limits:
    """Limits of a store.

    Attributes
    ----------
    max_bytes
        Largest size of all objects and manifests.
    max_age_s
        Longest time without use.
    """

    max_bytes: float = math.inf
    max_age_s: float = math.inf


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A result in a store.

    Attributes
    ----------
    path
        Its manifest.
    used_s
        Time of the last use, in seconds since 1970.
    own_bytes
        Size of the manifest itself.
    """

    entry: Entry
    path: Path
    used_s: float
    own_bytes: int
    is_pinned: bool = False


@dataclass(frozen=True, kw_only=True)
class Evicted:
    """Results and objects that were removed.

    Attributes
    ----------
    objects
        How many; they belonged to these results, or to none.
    left_bytes
        Size of all that is left.
    """

    results: tuple[Entry, ...]
    objects: int
    freed_bytes: int
    left_bytes: int


def choose(results: Iterable[Kept], *, now_s: float, limits: Limits) -> tuple[Kept, ...]:
    """Return the results to drop, so that the others are within limits.

    Pinned results stay, even if they alone take more.
    """
    every = list(results)
    shares = Counter(digest for kept in every for digest in kept.entry.sizes)
    sizes = {digest: size for kept in every for digest, size in kept.entry.sizes.items()}
    left = sum(sizes.values()) + sum(kept.own_bytes for kept in every)
    dropped = []

    def cost(kept: Kept) -> tuple[float, float]:
        """Seconds of idleness times bytes, for each second that the result saves; then the time of the last use."""
        own = kept.own_bytes + sum(size / shares[digest] for digest, size in kept.entry.sizes.items())
        return max(now_s - kept.used_s, 1.0) * own / max(kept.entry.seconds, _SHORTEST_S), -kept.used_s

    loose = [kept for kept in every if not kept.is_pinned]
    aged = [kept for kept in loose if now_s - kept.used_s > limits.max_age_s]
    recent = sorted((kept for kept in loose if now_s - kept.used_s <= limits.max_age_s), key=cost, reverse=True)
    for number, kept in enumerate((*aged, *recent)):
        if number >= len(aged) and left <= limits.max_bytes:
            break
        dropped.append(kept)
        left -= kept.own_bytes
        for digest in kept.entry.sizes:
            shares[digest] -= 1
            if not shares[digest]:
                left -= sizes[digest]
    return tuple(dropped)


def kept_results(folder: StoreFolder) -> tuple[tuple[Kept, ...], tuple[Path, ...]]:
    """Return the results in a store, and the manifests that cannot be read."""
    pins = folder.pins()
    results, damaged = [], []
    for found in folder.results():
        path = Path(found.path)
        try:
            facts = path.stat()
            with path.open("rb") as stream:
                entry = decode_entry(stream.readline())
        except FileNotFoundError:  # another process dropped it
            continue
        except (OSError, StoreError):
            damaged.append(path)
            continue
        pinned = entry.key in pins
        results.append(Kept(entry=entry, path=path, used_s=facts.st_mtime, own_bytes=facts.st_size, is_pinned=pinned))
    return tuple(results), tuple(damaged)


def evict(folder: StoreFolder, *, now_s: float, limits: Limits) -> Evicted:
    """Drop results until a store keeps its limits, and all files that belong to none.

    Raises
    ------
    StoreError
        If another version of casaprov wrote the store.
    OSError
        If it may not be written.
    """
    with folder.locked(alone=True):
        results, damaged = kept_results(folder)
        dropped = choose(results, now_s=now_s, limits=limits)
        # Manifests first: a kill leaves objects that nothing names, and no manifest without its objects.
        for path in (*damaged, *(kept.path for kept in dropped)):
            path.unlink(missing_ok=True)
        gone = {kept.path for kept in dropped}
        left = [kept for kept in results if kept.path not in gone]
        _drop_names(folder, [kept.entry for kept in left])
        objects, freed = _drop_objects(folder, {digest for kept in left for digest in kept.entry.sizes})
    folder.remove_dead_parts()
    return Evicted(
        results=tuple(kept.entry for kept in dropped),
        objects=objects,
        freed_bytes=freed + sum(kept.own_bytes for kept in dropped),
        left_bytes=sum({digest: size for kept in left for digest, size in kept.entry.sizes.items()}.values())
        + sum(kept.own_bytes for kept in left),
    )


def _drop_names(folder: StoreFolder, left: Sequence[Entry]) -> None:
    """Remove further keys and pins of results that are gone."""
    aliases = {folder.alias(alias) for entry in left for alias in entry.aliases}
    for found in folder.aliases():
        if Path(found.path) not in aliases:
            Path(found.path).unlink(missing_ok=True)
    for pin in folder.pins() - {entry.key for entry in left}:
        folder.pin(pin).unlink(missing_ok=True)


def _drop_objects(folder: StoreFolder, needed: set[Digest]) -> tuple[int, int]:
    """Remove the objects that no result needs; return how many, and their size."""
    places = {folder.object(digest) for digest in needed}
    count = freed = 0
    for found in folder.objects():
        if Path(found.path) not in places:
            with suppress(FileNotFoundError):
                size = found.stat(follow_symlinks=False).st_size
                Path(found.path).unlink()
                count, freed = count + 1, freed + size
    return count, freed
