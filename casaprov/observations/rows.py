"""Observations of visibilities, one row for each target of each observation, from the parts that all formats have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from casaprov.observations.words import (
    LIGHT,
    Position,
    from_frame,
    is_project_code,
    mean_direction,
    pol_states,
    significant,
    unsuitable,
)
from casaprov.records.observation import Observation

__all__ = ["MOST_ROWS", "Field", "Headers", "Scans", "Setup", "Span", "visibilities"]

MOST_ROWS = 64
"""Rows that are kept of one set of data; a survey may have thousands of fields."""


class Field(NamedTuple):
    """A direction that was observed: name and position in degrees in a frame, and the headers that state both."""

    name: str
    position: Position | None
    frame: str
    named_by: str
    placed_by: str


class Setup(NamedTuple):
    """A spectral and polarization setup: its lowest and highest frequency in Hz, and its polarization products."""

    frequencies: tuple[float, float] | None
    products: tuple[str, ...]


class Span(NamedTuple):
    """Beginning and end of the data of one field in one observation, in MJD, with the setups that were used."""

    t_min: float
    t_max: float
    setups: frozenset[int]


@dataclass(frozen=True, kw_only=True)
class Headers:
    """Headers of one observation, each with its name.

    Attributes
    ----------
    project, telescope, observer
        As stated; empty if they are not.
    names
        Names of these headers, by attribute.
    identifiers
        Identifiers of archives, with the headers that state them in `names`.
    """

    project: str = ""
    telescope: str = ""
    observer: str = ""
    names: Mapping[str, str] = field(default_factory=dict)
    identifiers: Mapping[str, str] = field(default_factory=dict)


class Scans:
    """Spans by observation and field, gathered from rows of visibilities."""

    def __init__(self) -> None:
        self.spans: dict[tuple[int, int], Span] = {}

    def add(
        self,
        observation: np.ndarray[Any, Any],
        target: np.ndarray[Any, Any],
        setup: np.ndarray[Any, Any],
        start: np.ndarray[Any, Any],
        end: np.ndarray[Any, Any],
    ) -> None:
        """Add rows: for each its observation, field and setup, and its beginning and end in MJD."""
        usable = np.isfinite(start) & np.isfinite(end) & (start > 0)
        keys = np.stack([part.astype(np.int64) for part in (observation, target, setup)])[:, usable]
        if not keys.size:
            return
        order = np.lexsort(keys[::-1])
        keys, start, end = keys[:, order], start[usable][order], end[usable][order]
        first = np.flatnonzero(np.r_[True, (keys[:, 1:] != keys[:, :-1]).any(axis=0)])
        for at, low, high in zip(
            first, np.minimum.reduceat(start, first), np.maximum.reduceat(end, first), strict=True
        ):
            self._add(
                (int(keys[0, at]), int(keys[1, at])), Span(float(low), float(high), frozenset({int(keys[2, at])}))
            )

    def _add(self, key: tuple[int, int], span: Span) -> None:
        known = self.spans.get(key, span)
        self.spans[key] = _joined([known, span])


def visibilities(
    spans: Mapping[tuple[int, int], Span],
    *,
    headers: Mapping[int, Headers],
    fields: Mapping[int, Field],
    setups: Mapping[int, Setup],
    sources: Mapping[str, str],
    calib_level: int | None,
    with_observer: bool = False,
) -> tuple[Observation, ...]:
    """Return one observation for each target of each observation, those that began first first.

    Parameters
    ----------
    spans
        Where and when there are data, by observation and field.
    headers, fields, setups
        By their numbers in `spans`.
    sources
        Headers of the times, frequencies and polarizations.
    with_observer
        Whether to name the observer.
    """
    grouped: dict[tuple[int, str], list[tuple[int, Span]]] = {}
    for (observation, target), span in spans.items():
        name = fields[target].name if target in fields else ""
        grouped.setdefault((observation, name or f"#{target}"), []).append((target, span))
    rows = [
        _row(headers.get(observation, Headers()), members, fields, setups, sources, with_observer=with_observer)
        for (observation, _), members in grouped.items()
    ]
    rows.sort(key=lambda row: (row.t_min or 0.0, row.target_name))
    kept = [replace(row, dataproduct_type="visibility", calib_level=calib_level) for row in rows[:MOST_ROWS]]
    if len(rows) > MOST_ROWS:
        kept[-1] = replace(kept[-1], note=f"{len(rows) - MOST_ROWS} more targets are not listed.")
    return tuple(kept)


def _row(
    headers: Headers,
    members: Sequence[tuple[int, Span]],
    fields: Mapping[int, Field],
    setups: Mapping[int, Setup],
    sources: Mapping[str, str],
    *,
    with_observer: bool,
) -> Observation:
    span = _joined([span for _, span in members])
    used = [setups[number] for number in sorted(span.setups) if number in setups]
    frequencies = [edge for setup in used if setup.frequencies for edge in setup.frequencies]
    facts: dict[str, Any] = {"t_min": _to_millisecond(span.t_min), "t_max": _to_millisecond(span.t_max)}
    stated = {"t_min": sources.get("t", ""), "t_max": sources.get("t", "")}
    if frequencies and min(frequencies) > 0:
        facts |= {"em_min": significant(LIGHT / max(frequencies)), "em_max": significant(LIGHT / min(frequencies))}
        stated |= dict.fromkeys(("em_min", "em_max"), sources.get("em", ""))
    if states := pol_states(name for setup in used for name in setup.products):
        facts["pol_states"], stated["pol_states"] = states, sources.get("pol_states", "")
    for part in (_target([fields[n] for n, _ in members if n in fields]), _project(headers)):
        facts |= part[0]
        stated |= part[1]
    note = ""
    if headers.telescope and (note := unsuitable(headers.telescope, frequencies)):
        note = f"{headers.names.get('telescope', 'A header')} says {headers.telescope}, and {note}."
    elif headers.telescope:
        facts["facility_name"], stated["facility_name"] = headers.telescope, headers.names.get("telescope", "")
    if with_observer and headers.observer and facts.get("proposal_id") != headers.observer:
        facts["observer"], stated["observer"] = headers.observer, headers.names.get("observer", "")
    identifiers = dict(headers.identifiers)
    stated |= {name: headers.names[name] for name in identifiers if name in headers.names}
    return Observation(**facts, identifiers=identifiers, sources={k: v for k, v in stated.items() if v}, note=note)


def _target(fields: Sequence[Field]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return name and position of a target that was observed at one or more positions, with their headers."""
    if not fields:
        return {}, {}
    facts: dict[str, Any] = {"target_name": fields[0].name}
    stated = {"target_name": fields[0].named_by} if fields[0].name else {}
    found = [(f, place) for f in fields if f.position and (place := from_frame(f.frame, f.position))]
    if found:
        places = [place for _, place in found]
        facts["s_ra"], facts["s_dec"] = places[0] if len(set(places)) == 1 else mean_direction(places)
        first = found[0][0]
        source = f"{first.placed_by} ({first.frame})"
        if len(set(places)) > 1:
            source = f"mean of {len(places)} rows of {source}"
        stated |= {"s_ra": source, "s_dec": source}
    return facts, stated


def _project(headers: Headers) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the project code; some files have it for the observer."""
    if headers.project:
        return {"proposal_id": headers.project}, {"proposal_id": headers.names.get("project", "")}
    if is_project_code(headers.observer):
        return {"proposal_id": headers.observer}, {"proposal_id": headers.names.get("observer", "")}
    return {}, {}


def _joined(spans: Iterable[Span]) -> Span:
    spans = list(spans)
    return Span(
        min(span.t_min for span in spans),
        max(span.t_max for span in spans),
        frozenset().union(*(span.setups for span in spans)),
    )


def _to_millisecond(mjd: float) -> float:
    """Return a time rounded to a millisecond, the best precision of float32 parameters in UVFITS."""
    return round(mjd, 8)
