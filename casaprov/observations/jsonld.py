"""Observations as JSON-LD entities of a crate: contextual Datasets, with each fact and the header that states it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import quote

from casaprov.observations.summary import coverage, label
from casaprov.records.observation import Observation

__all__ = ["UTYPES", "observation_id", "observation_nodes", "target_id"]

UTYPES = {
    "target_name": "obscore:Target.name",
    "s_ra": "obscore:Char.SpatialAxis.Coverage.Location.Coord.Position2D.Value2.C1",
    "s_dec": "obscore:Char.SpatialAxis.Coverage.Location.Coord.Position2D.Value2.C2",
    "t_min": "obscore:Char.TimeAxis.Coverage.Bounds.Limits.StartTime",
    "t_max": "obscore:Char.TimeAxis.Coverage.Bounds.Limits.StopTime",
    "em_min": "obscore:Char.SpectralAxis.Coverage.Bounds.Limits.LoLimit",
    "em_max": "obscore:Char.SpectralAxis.Coverage.Bounds.Limits.HiLimit",
    "pol_states": "obscore:Char.PolarizationAxis.stateList",
    "facility_name": "obscore:Provenance.ObsConfig.Facility.name",
    "proposal_id": "obscore:Provenance.Proposal.identifier",
    "dataproduct_type": "obscore:ObsDataset.dataProductType",
    "calib_level": "obscore:ObsDataset.calibLevel",
}
"""UType of each fact (ObsCore 1.1, table 5)."""

_UNITS = {"s_ra": "deg", "s_dec": "deg", "t_min": "d", "t_max": "d", "em_min": "m", "em_max": "m"}


def observation_id(entity: str, number: int) -> str:
    """Return the identifier of an observation in a crate: that of the state that it was read from, and its number there."""
    return f"#observation/{quote(entity, safe='/:@')}/{number}"


def target_id(observation: Observation) -> str:
    """Return the identifier of a target in a crate; empty if it has no name."""
    return f"#target/{quote(observation.target_name, safe='')}" if observation.target_name else ""


def observation_nodes(entity: str, path: str, observations: Sequence[Observation]) -> Iterable[dict[str, Any]]:
    """Describe the observations of an external state.

    Parameters
    ----------
    entity, path
        Id and path of the state.
    """
    for number, row in enumerate(observations, start=1):
        own = observation_id(entity, number)
        facts = list(_fact_nodes(own, row))
        identifiers = list(_identifier_nodes(own, row))
        target = target_id(row)
        yield {
            "@id": own,
            "@type": "Dataset",
            "name": label(row),
            "description": f"What was observed, as the headers of {path} state it. {row.note}".strip(),
            "temporalCoverage": coverage([row]),
            "about": {"@id": target} if target else None,
            "identifier": [{"@id": node["@id"]} for node in identifiers],
            "variableMeasured": [{"@id": node["@id"]} for node in facts],
        }
        yield from facts
        yield from identifiers
        if target:
            yield {"@id": target, "@type": "Thing", "name": row.target_name}


def _fact_nodes(own: str, row: Observation) -> Iterable[dict[str, Any]]:
    for name, value in row.facts().items():
        stated = row.sources.get(name)
        yield {
            "@id": f"{own}/{name}",
            "@type": "PropertyValue",
            "name": name,
            "propertyID": UTYPES.get(name),
            "value": value,
            "unitText": _UNITS.get(name),
            "description": f"From {stated}." if stated else None,
        }


def _identifier_nodes(own: str, row: Observation) -> Iterable[dict[str, Any]]:
    for name, value in row.identifiers.items():
        stated = row.sources.get(name)
        yield {
            "@id": f"{own}/{name}",
            "@type": "PropertyValue",
            "name": name,
            "value": value,
            "description": f"From {stated}." if stated else None,
        }
