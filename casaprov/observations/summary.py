"""Observations in short: keywords, times and a line for each."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from casaprov.observations.words import LIGHT
from casaprov.records.observation import Observation

__all__ = ["band", "coverage", "keywords", "label", "utc"]

_EPOCH = datetime(1858, 11, 17)  # noqa: DTZ001 - MJD 0, in the zone of the record: UTC

# Edges in GHz: IEEE's letters as the VLA uses them, and ALMA's receivers.
_LETTERS = (("P", 0.2, 0.5), ("L", 1, 2), ("S", 2, 4), ("C", 4, 8), ("X", 8, 12), ("Ku", 12, 18), ("K", 18, 26.5), ("Ka", 26.5, 40), ("Q", 40, 50.5))  # fmt: skip
_ALMA = ((1, 35, 50), (2, 67, 84), (3, 84, 116), (4, 125, 163), (5, 163, 211), (6, 211, 275), (7, 275, 373), (8, 385, 500), (9, 602, 720), (10, 787, 950))  # fmt: skip


def utc(mjd: float) -> str:
    """Return a Modified Julian Date as a time in UTC, to the second."""
    return (_EPOCH + timedelta(seconds=round(mjd * 86400))).isoformat()


def coverage(observations: Iterable[Observation]) -> str:
    """Return the time that observations cover as an interval of ISO 8601; empty if it is not known."""
    times = [time for row in observations for time in (row.t_min, row.t_max) if time is not None]
    if not times:
        return ""
    return utc(times[0]) if min(times) == max(times) else f"{utc(min(times))}/{utc(max(times))}"


def band(observation: Observation) -> str:
    """Return the name of the band that lies around the middle frequency; empty if it has none."""
    if not observation.em_min or not observation.em_max:
        return ""
    middle = (LIGHT / observation.em_min + LIGHT / observation.em_max) / 2e9
    if observation.facility_name.upper() == "ALMA":
        return next((f"Band {number}" for number, low, high in _ALMA if low <= middle < high), "")
    letter = next((f"{name} band" for name, low, high in _LETTERS if low <= middle < high), "")
    return letter or (f"{300 / middle:.1f} mm" if middle > 50 else "")


def keywords(observations: Iterable[Observation]) -> list[str]:
    """Return telescopes, targets and bands, each once."""
    rows = list(observations)
    found = [row.facility_name for row in rows] + [row.target_name for row in rows] + [band(row) for row in rows]
    return list(dict.fromkeys(filter(None, found)))


def label(observation: Observation) -> str:
    """Return an observation in a few words: target, telescope, band, day."""
    day = utc(observation.t_min)[:10] if observation.t_min is not None else ""
    parts = (observation.target_name, observation.facility_name, band(observation), day)
    return ", ".join(filter(None, parts)) or "an observation"
