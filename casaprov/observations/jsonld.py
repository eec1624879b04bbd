"""Observations as JSON-LD entities of a crate: contextual Datasets, with each fact and the header that states it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import quote

from casaprov.observations.summary import coverage, label
from casaprov.records.model import ArchiveQuery, Identifier
from casaprov.records.observation import Observation

__all__ = [
    "UTYPES",
    "archive_id",
    "archive_nodes",
    "identifier_id",
    "looked_up",
    "observation_id",
    "observation_nodes",
    "target_id",
]

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


def archive_id(identifier: Identifier) -> str:
    """Return the identifier in a crate of the Dataset that an archive has."""
    return f"#archive/{identifier.scheme}/{quote(identifier.value, safe='')}"


def identifier_id(identifier: Identifier) -> str:
    """Return the identifier in a crate of the PropertyValue of an archive's identifier."""
    return f"#identifier/{identifier.scheme}/{quote(identifier.value, safe='')}"


def archive_nodes(identifiers: Iterable[Identifier]) -> Iterable[dict[str, Any]]:
    """Describe the identifiers of a state, the Datasets of archives that they name, and the archives' TAP services."""
    for known in identifiers:
        column = known.scheme if known.scheme != "ivoid" else "obs_publisher_did"
        ground = f"{known.confidence}: {known.matched_by}" if known.matched_by else known.confidence
        found = f"{known.table} by {known.key_column}" if known.table else ""
        yield {
            "@id": identifier_id(known),
            "@type": "PropertyValue",
            "name": column,
            "propertyID": "obscore:Curation.PublisherDID" if known.scheme == "ivoid" else None,
            "value": known.value,
            "description": f"{ground}; {found or 'as given'}, {known.time[:10]}.",
        }
        yield {
            "@id": archive_id(known),
            "@type": "Dataset",
            "name": known.value,
            "description": "Data of an archive that an input of this crate is, or is a part of.",
            "identifier": {"@id": identifier_id(known)},
            "url": known.value
            if known.scheme == "url"
            else f"https://doi.org/{known.value}"
            if known.scheme == "doi"
            else None,
            "includedInDataCatalog": {"@id": known.service} if known.service else None,
        }
        if known.service:
            yield {
                "@id": known.service,
                "@type": "DataCatalog",
                "name": f"TAP service {known.service}",
                "url": known.service,
            }


def looked_up(identifiers: Sequence[Identifier], archive_queries: Sequence[ArchiveQuery]) -> str:
    """Return a sentence about the search for a state in archives."""
    if identifiers:
        return f"It has {len(identifiers)} identifier(s) in archives."
    if not archive_queries:
        return "It was not looked up in an archive."
    return f"It was looked up in {', '.join(dict.fromkeys(k.service for k in archive_queries))} on {archive_queries[-1].time[:10]} and not found."


def observation_nodes(
    entity: str, path: str, observations: Sequence[Observation], search: str = ""
) -> Iterable[dict[str, Any]]:
    """Describe the observations of an external state.

    Parameters
    ----------
    entity, path
        Id and path of the state.
    search
        Sentence about the search for it in archives.
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
            "description": f"What was observed, as the headers of {path} state it. {row.note} {search}".strip().replace(
                "  ", " "
            ),
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
