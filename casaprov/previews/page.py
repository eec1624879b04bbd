"""The page itself: facts of the records in the order in which a reader asks for them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, Template
from markupsafe import Markup

from casaprov.crates.layout import Manifest, call_names, log_path, parameters_path
from casaprov.drawings.svg import to_svg
from casaprov.lineage.graph import Lineage
from casaprov.lineage.observed import observed_inputs
from casaprov.observations.summary import band, utc
from casaprov.previews.png import QuickLook, png_address
from casaprov.records.model import Activity, Document, Entity

__all__ = ["Picture", "final_images", "preview", "shown_images"]

MOST_PICTURES = 12
MOST_DRAWN = 400
"""Calls up to which the drawing helps."""

_MOST_VALUE = 200  # characters of a parameter
_FIRST = (".image.pbcor", ".image.tt0.pbcor", ".image", ".image.tt0")
_LAST = (".psf", ".psf.tt0", ".psf.tt1", ".psf.tt2", ".sumwt", ".sumwt.tt0", ".weight", ".pb", ".pb.tt0", ".mask")
_STEPS_OF_IMAGING = (".model", ".model.tt0", ".model.tt1", ".residual", ".residual.tt0", ".residual.tt1")


@dataclass(frozen=True)
class Picture:
    """A quick look at a product."""

    entity: Entity
    look: QuickLook


def shown_images(document: Document) -> tuple[Entity, ...]:
    """Return the products that a preview may show a picture of, the final images first."""
    found = [e for e in Lineage(document).products() if e.kind in ("Image", "FITS") and e.content_digest]
    inner = [e for e in found if not e.path.endswith(_LAST)]
    return tuple(sorted(inner, key=lambda e: not e.path.endswith(_FIRST))[:MOST_PICTURES])


def final_images(document: Document) -> tuple[Entity, ...]:
    """Return the images that are results, as far as their names tell: no models, residuals, weights and masks."""
    found = (e for e in Lineage(document).products() if e.kind == "Image" and e.content_digest)
    return tuple(entity for entity in found if not entity.path.endswith((*_LAST, *_STEPS_OF_IMAGING)))


def preview(document: Document, manifest: Manifest, notes: Sequence[str] = (), pictures: Iterable[Picture] = ()) -> str:
    """Return the page of a crate.

    Parameters
    ----------
    notes
        Sentences about gaps, results out of order and stale ones.
    """
    first, last = document.activities[0], document.activities[-1]
    return _template().render(
        title=_plain(manifest.title),
        notebook=_plain(manifest.notebook),
        notebook_path=manifest.notebook,
        credits=manifest.credits,
        authors=[_plain(name) for name in _authors(manifest)],
        licence=manifest.stated_license,
        span=(first.started_at[:16].replace("T", " "), (last.ended_at or last.started_at)[:16].replace("T", " ")),
        observed=list(_observed(document)),
        identifiers=list(_identifiers(document)),
        notes=[_plain(note) for note in notes],
        pictures=[_figure(picture, manifest) for picture in pictures],
        steps=list(_steps(document)),
        drawing=_drawing(document),
        items=list(_items(document, manifest)),
        sessions=[_session(session) for session in document.sessions],
    )


def _drawing(document: Document) -> Markup:
    """Return the drawing of the record; empty for more calls than help a reader."""
    return Markup(to_svg(document) if len(document.activities) <= MOST_DRAWN else "")  # noqa: S704 - its texts are escaped


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("casaprov.previews", "."), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["address"] = _address
    return environment.get_template("preview.html")


def _observed(document: Document) -> Iterable[Mapping[str, str]]:
    for entity in observed_inputs(document):
        for row in entity.observations:
            yield {
                "input": _plain(entity.path),
                "target": _plain(row.target_name),
                "telescope": _plain(row.facility_name),
                "project": _plain(row.proposal_id),
                "band": band(row),
                "begin": utc(row.t_min) if row.t_min is not None else "",
                "end": utc(row.t_max) if row.t_max is not None else "",
            }


def _identifiers(document: Document) -> Iterable[Mapping[str, str]]:
    for entity in document.entities:
        for known in entity.identifiers:
            address = {"doi": f"https://doi.org/{known.value}", "url": known.value}.get(known.scheme, "")
            yield {
                "input": _plain(entity.path),
                "scheme": known.scheme,
                "value": _plain(known.value),
                "address": address if address.startswith(("https://", "http://")) else "",
                "service": _plain(known.service),
                "confidence": known.confidence,
            }


def _authors(manifest: Manifest) -> list[str]:
    return [*(agent.name for agent in manifest.authors), *(person.name for person in manifest.credits.authors)]


def _figure(picture: Picture, manifest: Manifest) -> Mapping[str, Any]:
    look, path = picture.look, manifest.shipped().get(picture.entity.id)
    axes = " × ".join(map(str, look.shape))
    plane = f", plane {look.plane} of {look.planes}" if look.planes > 1 else ""
    return {
        "address": Markup(png_address(look)),  # noqa: S704 - base64
        "width": look.width,
        "height": look.height,
        "path": _plain(picture.entity.path),
        "link": path if path is not None and not path.endswith("/") else "",
        "range": f"{look.low:.4g} to {look.high:.4g} {_plain(look.unit)}".rstrip(),
        "facts": f"{axes} pixels{plane}",
    }


def _steps(document: Document) -> Iterable[Mapping[str, Any]]:
    names = call_names(document)
    numbers = document.call_numbers
    for activity in document.activities:
        name = names[activity.id]
        yield {
            "number": numbers[activity.id],
            "task": _plain(activity.task),
            "given": [(_plain(key), _value(activity.parameters.get(key))) for key in activity.given],
            "outcome": activity.outcome,
            "failure": _plain(f"{activity.failure.type}: {activity.failure.message}")[:500] if activity.failure else "",
            "time": activity.started_at[11:19],
            "seconds": _seconds(activity),
            "restored": activity.restored_from is not None,
            "parameters": parameters_path(name),
            "log": log_path(name) if activity.log is not None else "",
            "warnings": activity.log.warnings if activity.log is not None else 0,
        }


def _items(document: Document, manifest: Manifest) -> Iterable[Mapping[str, str]]:
    entities = {entity.id: entity for entity in document.entities}
    for item in manifest.items:
        entity = entities[item.entity]
        yield {
            "path": _plain(entity.path),
            "role": "product" if entity.generated_by else "input",
            "kind": entity.kind,
            "size": _size(entity.size_bytes),
            "link": item.path or "",
            "reason": _plain(item.reason),
            "digest": entity.content_digest or "",
        }


def _session(session: Any) -> Mapping[str, str]:
    where = session.environment
    versions = {"CASA": where.casatasks, "casadata": where.casadata, "Python": where.python, "on": where.platform}
    listed = ", ".join(f"{name} {_plain(version)}" for name, version in versions.items() if version)
    return {
        "begin": session.started_at[:19].replace("T", " "),
        "casaprov": _plain(session.casaprov),
        "versions": listed,
    }


def _value(value: Any) -> str:
    text = _plain(json.dumps(value, ensure_ascii=False))
    return text if len(text) <= _MOST_VALUE else f"{text[:_MOST_VALUE]}…"


def _seconds(activity: Activity) -> str:
    return "" if activity.seconds is None else f"{activity.seconds:.1f}"


def _address(path: str) -> str:
    return quote(path.encode("utf-8", "surrogatepass"))


def _size(size: int) -> str:
    for unit, least in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= least:
            return f"{size / least:.1f} {unit}"
    return f"{size} bytes"


def _plain(text: str) -> str:
    """Return a text on one line that can be encoded and holds no control characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).encode("utf-8", "replace").decode().split())
