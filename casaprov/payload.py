"""What goes into a crate, what is only referenced, and why.

A restore needs calibration tables, flag versions and masks: they are shipped
whatever their size. Images, FITS files, plots and listings are shipped up to
a limit. Visibilities are large and replayable: they are referenced by digest.
Inputs are referenced by locators. What lies on disk is the last state of a
path; if it is no longer the recorded one, it is not shipped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal, Protocol

from casaprov.crate_layout import shipped_path
from casaprov.digest import Digest
from casaprov.errors import CasaprovError
from casaprov.lineage import Lineage
from casaprov.model import Document, Entity
from casaprov.unpack import name_problem

__all__ = ["Measured", "PayloadItem", "PayloadPolicy", "choose_payload", "members"]

_VISIBILITY_TASKS = frozenset({"exportuvfits"})
_VISIBILITY_SUFFIXES = frozenset({".uvfits", ".uvf", ".idifits", ".ms", ".mms", ".asdm"})


@dataclass(frozen=True, kw_only=True)
class PayloadItem:
    """What becomes of one Entity in a crate.

    Attributes
    ----------
    reason
        Why, as a phrase.
    size_bytes
        Size of what lies on disk if it is shipped, else the recorded size.
    source
        File or directory to ship; None if it is only referenced.
    """

    entity: Entity
    decision: Literal["shipped", "referenced"]
    reason: str
    size_bytes: int
    source: Path | None


@dataclass(frozen=True, kw_only=True)
class PayloadPolicy:
    """What to ship.

    Attributes
    ----------
    max_item_bytes
        Limit for an image, FITS file, plot, listing or other product.
    ship_visibilities
        Ship MeasurementSets and UVFITS files that the calls made, of any size.
    ship_inputs
        Ship what the calls read and did not make, of any size.
    """

    max_item_bytes: int = 50_000_000
    ship_visibilities: bool = False
    ship_inputs: bool = False


class Measured(Protocol):
    """A measurement of what lies on disk."""

    @property
    def content_digest(self) -> Digest | None:
        """Digest of the scientific content."""
        ...


def choose_payload(
    document: Document, folder: Path, policy: PayloadPolicy, *, measure: Callable[[Path], Measured]
) -> tuple[PayloadItem, ...]:
    """Decide for every input and product of a Document whether it is shipped.

    Parameters
    ----------
    folder
        Where relative paths of the records start.
    measure
        Digests a path; called only for what would be shipped.

    Returns
    -------
    tuple of PayloadItem
        Inputs first, then products, each in the order of the records.
    """
    lineage = Lineage(document)
    made_by = {activity.id: activity.task for activity in document.activities}
    items = []
    for entity in dict.fromkeys((*lineage.inputs(), *lineage.products())):
        is_input = entity.generated_by is None
        task = made_by.get(entity.generated_by or "", "")
        refusal = _input_refusal(entity, policy) if is_input else _product_refusal(entity, task, policy)
        items.append(_item(entity, folder, refusal, measure))
    return tuple(items)


def members(path: Path) -> Iterator[Path]:
    """Everything below a directory, in the order of names."""
    for child in sorted(path.iterdir(), key=lambda p: p.name):
        yield child
        if child.is_dir() and not child.is_symlink():
            yield from members(child)


def _item(entity: Entity, folder: Path, refusal: str, measure: Callable[[Path], Measured]) -> PayloadItem:
    source = folder / entity.path
    refusal = refusal or _state_refusal(entity, source, measure)
    if refusal:
        size = entity.size_bytes
        return PayloadItem(entity=entity, decision="referenced", reason=refusal, size_bytes=size, source=None)
    reason = "an input, asked for" if entity.generated_by is None else _worth(entity)
    return PayloadItem(entity=entity, decision="shipped", reason=reason, size_bytes=_size(source), source=source)


def _input_refusal(entity: Entity, policy: PayloadPolicy) -> str:
    if policy.ship_inputs:
        return ""
    if entity.gap:
        return "changed outside the recorded calls; only its digest is known"
    if entity.locators:
        return "an input, to be found by its locators"
    return "an input without a locator, to be found by its digest"


def _product_refusal(entity: Entity, task: str, policy: PayloadPolicy) -> str:
    if _is_visibilities(entity, task):
        return "" if policy.ship_visibilities else "visibilities, referenced by digest"
    if not _is_always_shipped(entity) and entity.size_bytes > policy.max_item_bytes:
        return f"larger than the limit of {policy.max_item_bytes / 1e6:g} MB"
    return ""


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


def _state_refusal(entity: Entity, source: Path, measure: Callable[[Path], Measured]) -> str:
    """Why what lies on disk cannot stand for the recorded state; empty if it can."""
    if not source.exists():
        return "no longer there"
    if entity.content_digest is None:
        return f"of unknown content ({entity.note})" if entity.note else "of unknown content"
    if problem := _name_refusal(entity, source):
        return problem
    try:
        measured = measure(source)
    except CasaprovError as error:
        return f"not readable any more ({error.message})"
    return "" if measured.content_digest == entity.content_digest else "changed since it was recorded"


def _name_refusal(entity: Entity, source: Path) -> str:
    inside = list(members(source)) if source.is_dir() else [source]
    if source.is_symlink() or any(path.is_symlink() or not (path.is_dir() or path.is_file()) for path in inside):
        return "a link or contains one, which a crate cannot hold"
    top = shipped_path(entity, directory=False)
    names = [top] if inside == [source] else [f"{top}/{path.relative_to(source).as_posix()}" for path in inside]
    problem = next(filter(None, map(name_problem, names)), "")
    return f"named in a way a crate cannot hold: the name {problem}" if problem else ""


def _size(path: Path) -> int:
    return sum(p.stat().st_size for p in members(path) if p.is_file()) if path.is_dir() else path.stat().st_size
