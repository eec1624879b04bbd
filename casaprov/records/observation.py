"""Observation: one target of one observation, in the words of the IVOA's ObsCore 1.1, as the headers of the data say it."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Literal

__all__ = ["FACTS", "Observation", "ProductType"]

ProductType = Literal["visibility", "image", "cube"]


@dataclass(frozen=True, kw_only=True)
class Observation:
    """Facts about one target of one observation. A fact that no header states is absent.

    Attributes
    ----------
    target_name
        Name of the target, as its header spells it.
    s_ra, s_dec
        Position in degrees, ICRS or J2000.
    t_min, t_max
        Beginning and end as Modified Julian Dates, in UTC as CASA keeps them; ObsCore allows TT, one minute later.
    em_min, em_max
        Shortest and longest wavelength in metres.
    pol_states
        Polarization products as ObsCore writes them: ``/RR/LL/``.
    facility_name
        The telescope.
    proposal_id
        The proposal or project code.
    dataproduct_type, calib_level
        ObsCore's words for the kind of data: 0 raw, 1 in a standard format, 2 calibrated.
    observer
        Name of the observer; personal data, which are read only where a user asks for them.
    identifiers
        Identifiers of archives that the data carry, by the name that the archive has for them: ``asdm_uid``.
    sources
        The header that each fact was read from, by the name of the fact.
    note
        Why a fact is absent although a header states it; empty otherwise.
    """

    target_name: str = ""
    s_ra: float | None = None
    s_dec: float | None = None
    t_min: float | None = None
    t_max: float | None = None
    em_min: float | None = None
    em_max: float | None = None
    pol_states: str = ""
    facility_name: str = ""
    proposal_id: str = ""
    dataproduct_type: ProductType | None = None
    calib_level: int | None = None
    observer: str = ""
    identifiers: dict[str, str] = field(default_factory=dict, hash=False)  # an Entity is a key
    sources: dict[str, str] = field(default_factory=dict, hash=False)  # an Entity is a key
    note: str = ""

    def facts(self) -> dict[str, str | float]:
        """Return the facts that are known, by ObsCore's name for them."""
        return {name: value for name in FACTS if (value := getattr(self, name)) not in (None, "")}


FACTS = tuple(f.name for f in fields(Observation) if f.name not in ("identifiers", "sources", "note"))
"""Names of the facts, in ObsCore's words (``observer`` is ours)."""
