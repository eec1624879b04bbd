"""Upkeep of a store by its users: lists, checks, limits and pins."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from casaprov.errors import StoreError, UsageError
from casaprov.files.copying import can_clone
from casaprov.recompute.store.eviction import Evicted, Kept, Limits, evict, kept_results
from casaprov.recompute.store.results import Store

__all__ = ["StoreState", "Verified", "clear", "collect", "pin", "state_of", "verify"]

_SHORTEST_NAME = 6


@dataclass(frozen=True, kw_only=True)
class StoreState:
    """The state of a store.

    Attributes
    ----------
    size_bytes
        Size of all objects and manifests. Where files are clones, their blocks may be those of the user's files.
    seconds
        Time that it took to compute all results.
    clones
        Whether its file system clones files; None if that cannot be tried.
    results
        The results, the last used first.
    """

    folder: Path
    size_bytes: int
    objects: int
    seconds: float
    clones: bool | None
    results: tuple[Kept, ...]


@dataclass(frozen=True, kw_only=True)
class Verified:
    """The outcome of reading a whole store.

    Attributes
    ----------
    faults
        Sentences about damaged objects and results, which were dropped.
    """

    objects: int
    results: int
    faults: tuple[str, ...]


def state_of(store: Store) -> StoreState:
    """Return the state of a store; raise :class:`StoreError` if there is none, or another version wrote it."""
    _check(store)
    results, _ = kept_results(store.folder)
    sizes = [found.stat(follow_symlinks=False).st_size for found in store.folder.objects()]
    try:
        clones: bool | None = can_clone(store.folder.path)
    except OSError:
        clones = None
    return StoreState(
        folder=store.folder.path,
        size_bytes=sum(sizes) + sum(kept.own_bytes for kept in results),
        objects=len(sizes),
        seconds=sum(kept.entry.seconds for kept in results),
        clones=clones,
        results=tuple(sorted(results, key=lambda kept: kept.used_s, reverse=True)),
    )


def verify(store: Store, on_object: Callable[[int], None] = lambda _count: None) -> Verified:
    """Read every object and manifest of a store, and drop the damaged ones.

    Parameters
    ----------
    on_object
        Called with the number of objects read so far.

    Raises
    ------
    StoreError
        If there is no store, it cannot be read, or another version wrote it.
    """
    _check(store)
    faults: list[str] = []
    count = 0
    try:
        for count, found in enumerate(store.folder.objects(), start=1):
            if fault := store.check_object(Path(found.path)):
                faults.append(fault)
            on_object(count)
        results, damaged = kept_results(store.folder)
        names = {
            kept.path: f"The result of {kept.entry.task or 'a call'} ({kept.entry.computed_by})" for kept in results
        }
        faults += [
            f"{names.get(path, f'The manifest {path}')} is damaged: {fault}"
            for path in (*damaged, *names)
            if (fault := store.check_result(path))
        ]
    except OSError as error:
        raise StoreError(f"The store {store.folder.path} cannot be read: {error.strerror or error}.") from error
    return Verified(objects=count, results=len(results), faults=tuple(faults))


def collect(store: Store, limits: Limits) -> Evicted:
    """Drop results until a store keeps limits, and all files that belong to none.

    Raises
    ------
    StoreError
        If there is no store, it may not be written, or another version wrote it.
    """
    _check(store)
    try:
        return evict(store.folder, now_s=time.time(), limits=limits)
    except OSError as error:
        raise _unwritable(store, error) from error


def clear(store: Store) -> Evicted:
    """Drop all results, pinned ones too; raise the errors of :func:`collect`."""
    _check(store)
    try:
        for key in store.folder.pins():
            store.folder.pin(key).unlink(missing_ok=True)
    except OSError as error:
        raise _unwritable(store, error) from error
    return collect(store, Limits(max_age_s=-math.inf))


def pin(store: Store, call: str, *, on: bool = True) -> Kept:
    """Have eviction leave the result of a call, or allow it again.

    Parameters
    ----------
    call
        Id of the Activity that computed it, or its end after the last ``/`` if there is one such call, or the first
        digits of its key.

    Raises
    ------
    UsageError
        If there is no such result, or there are several.
    StoreError
        If there is no store, it may not be written, or another version wrote it.
    """
    _check(store)
    results, _ = kept_results(store.folder)
    found = [kept for kept in results if _is_named(kept, call)]
    if len(found) != 1:
        many = "no result" if not found else f"{len(found)} results"
        raise UsageError(
            f"The store {store.folder.path} has {many} of a call {call!r}.",
            hint="'casaprov cache info' lists its results; name one by the first digits of its key.",
        )
    place = store.folder.pin(found[0].entry.key)
    try:
        with store.folder.locked():
            if on:
                place.touch(mode=store.folder.result_mode())
            else:
                place.unlink(missing_ok=True)
    except OSError as error:
        raise _unwritable(store, error) from error
    return found[0]


def _is_named(kept: Kept, call: str) -> bool:
    key = kept.entry.key.removeprefix("sha256:")
    return (
        kept.entry.computed_by == call
        or kept.entry.computed_by.endswith(f"/{call}")
        or (len(call) >= _SHORTEST_NAME and key.startswith(call.removeprefix("sha256:")))
    )


def _check(store: Store) -> None:
    if not store.folder.check_format():
        raise StoreError(
            f"There is no store of results in {store.folder.path}.",
            hint="'%casaprov cache on' makes one; CASAPROV_STORE or --store names another folder.",
        )


def _unwritable(store: Store, error: OSError) -> StoreError:
    return StoreError(f"The store {store.folder.path} may not be written: {error.strerror or error}.")
