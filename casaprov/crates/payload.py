"""The payload of a crate: which inputs and products it ships, which it only references, and why.

A restore needs calibration tables, flag versions and masks: they are shipped
whatever their size. Images, FITS files, plots and listings are shipped up to
a limit. Visibilities are large and replayable: they are referenced by digest.
Inputs are referenced by locators; small inputs that have only a place on this
machine are shipped, since they could not be found elsewhere. The last state
of a path lies on disk; it is not shipped if it is no longer the recorded one.
A product that was renamed or moved within the notebook's folder is found
again by its digest. A state that a task used and no task can make again is
shipped as it was kept when the task found it. A user may ask for less or more, for paths by patterns, and for a limit of
all together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Literal, Protocol

from casaprov.crates.layout import shipped_path
from casaprov.digests.measurement import Measure, Measurement, facts_of
from casaprov.errors import CasaprovError, UsageError
from casaprov.files.kinds import is_table
from casaprov.files.snapshot import Snapshot, take_snapshot
from casaprov.hashing import Digest
from casaprov.lineage.graph import Lineage
from casaprov.records.model import Document, Entity
from casaprov.untrusted.zip_file import name_problem

__all__ = ["Measured", "PayloadItem", "PayloadPolicy", "choose_payload", "limited", "members", "observed_items"]

_VISIBILITY_TASKS = frozenset({"exportuvfits"})
_VISIBILITY_SUFFIXES = frozenset({".uvfits", ".uvf", ".idifits", ".ms", ".mms", ".asdm"})
_CHANGED = "changed since it was recorded"
_CANNOT_BE_MADE = "a state that no task can make again"
_CHANGED_IN_PLACE = "changed in place by this notebook: keep a copy for replays"


@dataclass(frozen=True, kw_only=True)
class PayloadItem:
    """The decision about one Entity of a crate.

    Attributes
    ----------
    reason
        Why, as a phrase.
    size_bytes
        Size on disk of an Entity that is shipped, else the recorded size.
    source
        File or directory to ship; None if it is only referenced.
    in_between
        True for a state whose path has another content by now: it has a place of its own in the crate.
    """

    entity: Entity
    decision: Literal["shipped", "referenced"]
    reason: str
    size_bytes: int
    source: Path | None
    in_between: bool = False


@dataclass(frozen=True, kw_only=True)
class PayloadPolicy:
    """The rules by which products and inputs are shipped.

    Attributes
    ----------
    max_item_bytes
        Limit for an image, FITS file, plot, listing or other product, and for
        calibration tables, images, masks and flag versions that are inputs
        known only on this machine.
    max_input_bytes
        Limit for other inputs that are known only on this machine.
    max_kept_bytes
        Limit for a state that a task used and that no task can make again.
    ship_visibilities
        Ship MeasurementSets and UVFITS files that the calls made, of any size.
    ship_inputs
        Ship inputs of any size.
    ship_products
        Ship products. Without it only inputs that could not be found elsewhere, and states that no task can make again.
    patterns
        Patterns of the shell for recorded paths or names. What one of them fits is shipped, of any kind and size.
    max_bytes
        Limit for all that is shipped together, before compression; None for none.
    """

    max_item_bytes: int = 50_000_000
    max_input_bytes: int = 5_000_000
    max_kept_bytes: int = 100_000_000
    ship_visibilities: bool = False
    ship_inputs: bool = False
    ship_products: bool = True
    patterns: tuple[str, ...] = ()
    max_bytes: int | None = None

    def names(self, entity: Entity) -> bool:
        """Return True if one of the patterns fits the recorded path of an Entity, or its name."""
        name = PurePosixPath(entity.path).name
        return any(fnmatchcase(entity.path, pattern) or fnmatchcase(name, pattern) for pattern in self.patterns)


class Measured(Protocol):
    """A measurement of a file or table on disk."""

    @property
    def content_digest(self) -> Digest | None:
        """Digest of the scientific content."""
        ...


def choose_payload(
    document: Document,
    folders: Mapping[str, Path],
    policy: PayloadPolicy,
    *,
    measure: Measure[Measured],
    needed: Sequence[Entity] = (),
    kept: Callable[[Digest | None], Path | None] = lambda _: None,
) -> tuple[PayloadItem, ...]:
    """Decide for every input and product of a Document if it is shipped.

    Parameters
    ----------
    folders
        Folder in which relative paths of the records start, by session id.
    measure
        Digests a path; called for every product that is still there, shipped
        or not, for inputs that would be shipped, and for files and tables
        that may be a product under another name.
    needed
        States that a replay can only take as they are (:func:`casaprov.lineage.foreign.needed_states`).
    kept
        Returns the copy that was kept of a state with this digest.

    Returns
    -------
    tuple of PayloadItem
        Inputs first, then the other needed states, then products, each in the order of the records.

    Raises
    ------
    UsageError
        If a pattern of the policy fits no input and no product.
    """
    lineage = Lineage(document)
    inputs, products = lineage.inputs(), lineage.products()
    for pattern in policy.patterns:
        if not any(replace(policy, patterns=(pattern,)).names(entity) for entity in (*inputs, *products)):
            raise UsageError(f"No input or product has a name like {pattern!r}.", hint="'casaprov inspect' lists them.")
    chooser = _Chooser(document, folders, policy, measure, products, needed, kept)
    between = (state for state in needed if state not in products)
    return limited(map(chooser.item, dict.fromkeys((*inputs, *between, *products))), policy, needed)


def limited(
    items: Iterable[PayloadItem], policy: PayloadPolicy, needed: Iterable[Entity] = ()
) -> tuple[PayloadItem, ...]:
    """Return the decisions with fewer items shipped, so that all together keep the limit; what counts most comes first.

    Parameters
    ----------
    needed
        As for :func:`choose_payload`.
    """
    items, kept = tuple(items), frozenset(entity.id for entity in needed)
    if policy.max_bytes is None:
        return items

    def rank(item: PayloadItem) -> tuple[int, int]:
        entity = item.entity
        worth = (entity.id in kept, policy.names(entity), _is_input(entity), _is_always_shipped(entity), True)
        return worth.index(True), item.size_bytes

    refused, total = set(), 0
    for item in sorted((item for item in items if item.source is not None), key=rank):
        if total + item.size_bytes > policy.max_bytes:
            refused.add(item.entity.id)
        else:
            total += item.size_bytes
    reason = f"beyond --max-bytes ({policy.max_bytes / 1e6:g} MB for all together)"
    return tuple(
        replace(item, decision="referenced", reason=reason, source=None, in_between=False)
        if item.entity.id in refused
        else item
        for item in items
    )


def observed_items(
    document: Document, folders: Mapping[str, Path], policy: PayloadPolicy, measure: Measure[Measurement]
) -> tuple[PayloadItem, ...]:
    """Return states for the observed changes of a Document, which are shipped if the policy allows it.

    Parameters
    ----------
    folders, measure
        As for :func:`choose_payload`.
    """
    known = {entity.path for entity in document.entities}
    chooser = _Chooser(document, folders, policy, measure, (), (), lambda _: None)
    items = []
    for activity in document.activities:
        for number, path in enumerate(activity.observed, start=1):
            place = folders[activity.session] / path
            # A folder stands for many files of which it is not known which ones changed.
            if path in known or not (place.is_file() or is_table(place)):
                continue
            known.add(path)
            note = f"It changed while {activity.task} ran; it cannot be told that the call did it."
            try:
                facts = facts_of(measure(place, tier="full"), derived=False)
            except CasaprovError:
                continue
            state = Entity(id=f"{activity.id}-observed-{number}", path=path, note=note, **facts)
            items.append(chooser.observed(state, place))
    return tuple(items)


def members(path: Path) -> Iterator[Path]:
    """Yield everything below a directory, in the order of names."""
    for child in sorted(path.iterdir(), key=lambda p: p.name):
        yield child
        if child.is_dir() and not child.is_symlink():
            yield from members(child)


class _Chooser:
    """Decides about one Entity after the other."""

    def __init__(
        self,
        document: Document,
        folders: Mapping[str, Path],
        policy: PayloadPolicy,
        measure: Measure[Measured],
        products: Iterable[Entity],
        needed: Iterable[Entity],
        kept: Callable[[Digest | None], Path | None],
    ) -> None:
        self._folders = folders
        self._last_folder = list(folders.values())[-1]
        self._policy = policy
        self._measure = measure
        self._made_by = {activity.id: activity.task for activity in document.activities}
        self._order = {entity.id: place for place, entity in enumerate(document.entities)}
        self._last = {entity.path: entity for entity in products}
        self._needed = frozenset(entity.id for entity in needed)
        self._kept = kept
        self._shipped: set[str] = set()
        self._snapshots: dict[Path, Snapshot] = {}

    def item(self, entity: Entity) -> PayloadItem:
        if entity.id in self._needed and entity.path in self._last and self._last[entity.path] is not entity:
            return self._as_it_was_kept(entity, _CHANGED)
        folder = self._folders.get(entity.session, self._last_folder)
        source = self._renamed(entity, folder) or folder / entity.path
        refusal = self._input_refusal(entity, source) if _is_input(entity) else self._product_refusal(entity, source)
        top = shipped_path(entity, directory=False)
        if not refusal and top in self._shipped:
            refusal = "another state of this path has the same files"
        if refusal and entity.id in self._needed:
            return self._as_it_was_kept(entity, refusal)
        if refusal:
            size = entity.size_bytes
            return PayloadItem(entity=entity, decision="referenced", reason=refusal, size_bytes=size, source=None)
        self._shipped.add(top)
        reason = self._worth(entity)
        if source != folder / entity.path:
            reason += f", now at {source.relative_to(folder).as_posix()}"
        return PayloadItem(entity=entity, decision="shipped", reason=reason, size_bytes=_size(source), source=source)

    def _as_it_was_kept(self, entity: Entity, refusal: str) -> PayloadItem:
        """Return the decision about a state that a replay needs, and that is not on disk as it was."""
        source = self._kept(entity.content_digest)
        if entity.size_bytes > self._policy.max_kept_bytes:
            refusal = f"{_CANNOT_BE_MADE}, larger than keep_up_to ({self._policy.max_kept_bytes / 1e6:g} MB)"
        elif source is None:
            refusal = f"{_CANNOT_BE_MADE}, {refusal}, and no copy was kept"
        elif not (refusal := _name_refusal(entity, source)):
            size = _size(source)
            reason = f"{_CANNOT_BE_MADE}: kept when a task found it"
            return PayloadItem(
                entity=entity, decision="shipped", reason=reason, size_bytes=size, source=source, in_between=True
            )
        return PayloadItem(
            entity=entity, decision="referenced", reason=refusal, size_bytes=entity.size_bytes, source=None
        )

    def observed(self, entity: Entity, source: Path) -> PayloadItem:
        """Decide about a file that is no product."""
        refusal = self._policy_refusal(entity) or _name_refusal(entity, source)
        return PayloadItem(
            entity=entity,
            decision="referenced" if refusal else "shipped",
            reason=refusal or "observed while a call ran, asked for",
            size_bytes=entity.size_bytes if refusal else _size(source),
            source=None if refusal else source,
        )

    def _renamed(self, entity: Entity, folder: Path) -> Path | None:
        """Return the new path of a product that was moved in the notebook's folder; None if it was not, or is gone."""
        if _is_input(entity) or not (entity.content_digest and entity.size_bytes) or (folder / entity.path).exists():
            return None
        if folder not in self._snapshots:
            self._snapshots[folder] = take_snapshot(folder)
        for name, found in self._snapshots[folder].products.items():
            if found.size_bytes == entity.size_bytes and not self._change(entity, folder / name):
                return folder / name
        return None

    def _input_refusal(self, entity: Entity, source: Path) -> str:
        if not self._policy.ship_inputs and not self._is_needed(entity) and not self._policy.names(entity):
            if not _is_local(entity):
                return "an input; the record says where to find it"
            if entity.size_bytes > self._local_limit(entity):
                if self._was_changed(entity):
                    return _CHANGED_IN_PLACE
                return "an input known only on this machine: --with-inputs ships it"
        refusal = _absence(entity, source) or _name_refusal(entity, source) or self._change(entity, source)
        return _CHANGED_IN_PLACE if refusal == _CHANGED and self._was_changed(entity) else refusal

    def _local_limit(self, entity: Entity) -> int:
        worthy = _is_always_shipped(entity) or entity.kind == "Image"
        limits = self._policy.max_item_bytes, self._policy.max_input_bytes
        return max(limits) if worthy else limits[1]

    def _was_changed(self, entity: Entity) -> bool:
        """Return True if a later call left other content at the path of an input."""
        last = self._last.get(entity.path)
        if last is None or self._order[last.id] < self._order[entity.id]:
            return False
        return last.content_digest != entity.content_digest

    def _product_refusal(self, entity: Entity, source: Path) -> str:
        """Return why a product is not shipped, empty if it is; a later change counts before the policy."""
        if absence := _absence(entity, source):
            return absence
        policy = "" if self._is_needed(entity) else self._policy_refusal(entity)
        # A product that is not shipped is measured all the same, and may have names that do not fit into a crate.
        problem = "" if policy else _name_refusal(entity, source)
        return problem or self._change(entity, source) or policy

    def _is_needed(self, entity: Entity) -> bool:
        return entity.id in self._needed and entity.size_bytes <= self._policy.max_kept_bytes

    def _policy_refusal(self, entity: Entity) -> str:
        if self._policy.names(entity):
            return ""
        if not self._policy.ship_products:
            return "a product, which was not asked for"
        if _is_visibilities(entity, self._made_by.get(entity.generated_by or "", "")):
            return "" if self._policy.ship_visibilities else "visibilities, referenced by digest"
        if not _is_always_shipped(entity) and entity.size_bytes > self._policy.max_item_bytes:
            return f"larger than the limit of {self._policy.max_item_bytes / 1e6:g} MB"
        return ""

    def _change(self, entity: Entity, source: Path) -> str:
        """Return why the file or table on disk is not the recorded state; empty if it is."""
        try:
            measured = self._measure(source, tier=entity.tier)
        except CasaprovError as error:
            return f"not readable any more ({error.message})"
        return "" if measured.content_digest == entity.content_digest else _CHANGED

    def _worth(self, entity: Entity) -> str:
        if entity.id in self._needed:
            return _CANNOT_BE_MADE
        if self._policy.names(entity):
            return "asked for"
        if not _is_input(entity):
            return _worth(entity)
        if self._policy.ship_inputs:
            return "an input, asked for"
        return "changed outside the recorded calls" if entity.gap else "an input known only on this machine"


def _is_input(entity: Entity) -> bool:
    return entity.generated_by is None


def _is_local(entity: Entity) -> bool:
    """Return True if an input has no other locator than its place on this machine."""
    return all(locator.scheme == "file" for locator in entity.locators)


def _is_visibilities(entity: Entity, task: str) -> bool:
    suffix = PurePosixPath(entity.path).suffix.lower()
    by_name = entity.kind in ("FITS", "Directory", "File") and suffix in _VISIBILITY_SUFFIXES
    return entity.kind == "MeasurementSet" or by_name or task in _VISIBILITY_TASKS


def _is_always_shipped(entity: Entity) -> bool:
    return entity.kind == "CalibrationTable" or entity.path.endswith((".flagversions", ".mask"))


def _worth(entity: Entity) -> str:
    if entity.path.endswith(".flagversions"):
        return "flag versions"
    if entity.path.endswith(".mask"):
        return "a mask"
    names = {"CalibrationTable": "a calibration table", "Image": "an image", "FITS": "a FITS file"}
    return names.get(entity.kind, "a product within the limit")


def _absence(entity: Entity, source: Path) -> str:
    if not source.exists():
        return "no longer there"
    if entity.content_digest is None:
        return f"of unknown content ({entity.note})" if entity.note else "of unknown content"
    return ""


def _name_refusal(entity: Entity, source: Path) -> str:
    inside = list(members(source)) if source.is_dir() else [source]
    if source.is_symlink() or any(path.is_symlink() or not (path.is_dir() or path.is_file()) for path in inside):
        return "a link or contains one, which a crate cannot hold"
    top = shipped_path(entity, directory=False)
    names = [top] if inside == [source] else [f"{top}/{path.relative_to(source).as_posix()}" for path in inside]
    problem = next(filter(None, map(name_problem, names)), "")
    return f"a name no crate can hold: it {problem}" if problem else ""


def _size(path: Path) -> int:
    return sum(p.stat().st_size for p in members(path) if p.is_file()) if path.is_dir() else path.stat().st_size
