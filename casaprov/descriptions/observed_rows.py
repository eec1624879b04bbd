"""Rows for an archive's table of products, by the IVOA's ObsCore 1.1 (https://www.ivoa.net/documents/ObsCore/)."""

from __future__ import annotations

from typing import Final, NamedTuple

from casaprov.crates.layout import Manifest
from casaprov.lineage.graph import Lineage
from casaprov.lineage.observed import observations_of
from casaprov.observations.jsonld import UTYPES
from casaprov.records.model import Document, Entity
from casaprov.records.observation import Observation

__all__ = ["OBSCORE", "Column", "observed_rows"]

Row = dict[str, str | int | float | None]

_IMAGES = ("image", "cube")
_MADE = 3  # ObsCore's level of images and other products that were made of calibrated data


class Column(NamedTuple):
    """A column of a VOTable; `kind` is ``char``, ``int``, ``long`` or ``double``."""

    name: str
    kind: str
    unit: str
    ucd: str
    utype: str = ""


OBSCORE: Final = tuple(
    column._replace(utype=column.utype or UTYPES[column.name])
    for column in (
        Column("dataproduct_type", "char", "", "meta.id"),
        Column("calib_level", "int", "", "meta.code;obs.calib"),
        Column("obs_collection", "char", "", "meta.id", "obscore:DataID.collection"),
        Column("obs_id", "char", "", "meta.id", "obscore:DataID.observationID"),
        Column("obs_publisher_did", "char", "", "meta.ref.ivoid", "obscore:Curation.publisherDID"),
        Column("access_url", "char", "", "meta.ref.url", "obscore:Access.reference"),
        Column("access_format", "char", "", "meta.code.mime", "obscore:Access.format"),
        Column("access_estsize", "long", "kbyte", "phys.size;meta.file", "obscore:Access.size"),
        Column("target_name", "char", "", "meta.id;src"),
        Column("s_ra", "double", "deg", "pos.eq.ra"),
        Column("s_dec", "double", "deg", "pos.eq.dec"),
        Column(
            "s_fov",
            "double",
            "deg",
            "phys.angSize;instr.fov",
            "obscore:Char.SpatialAxis.Coverage.Bounds.Extent.diameter",
        ),
        Column("s_region", "char", "", "pos.outline;obs.field", "obscore:Char.SpatialAxis.Coverage.Support.Area"),
        Column(
            "s_resolution", "double", "arcsec", "pos.angResolution", "obscore:Char.SpatialAxis.Resolution.Refval.value"
        ),
        Column("s_xel1", "long", "", "meta.number", "obscore:Char.SpatialAxis.numBins1"),
        Column("s_xel2", "long", "", "meta.number", "obscore:Char.SpatialAxis.numBins2"),
        Column("t_min", "double", "d", "time.start;obs.exposure"),
        Column("t_max", "double", "d", "time.end;obs.exposure"),
        Column(
            "t_exptime", "double", "s", "time.duration;obs.exposure", "obscore:Char.TimeAxis.Coverage.Support.Extent"
        ),
        Column("t_resolution", "double", "s", "time.resolution", "obscore:Char.TimeAxis.Resolution.Refval.value"),
        Column("t_xel", "long", "", "meta.number", "obscore:Char.TimeAxis.numBins"),
        Column("em_min", "double", "m", "em.wl;stat.min"),
        Column("em_max", "double", "m", "em.wl;stat.max"),
        Column(
            "em_res_power", "double", "", "spect.resolution", "obscore:Char.SpectralAxis.Resolution.ResolPower.refVal"
        ),
        Column("em_xel", "long", "", "meta.number", "obscore:Char.SpectralAxis.numBins"),
        Column("o_ucd", "char", "", "meta.ucd", "obscore:Char.ObservableAxis.ucd"),
        Column("pol_states", "char", "", "meta.code;phys.polarization"),
        Column("pol_xel", "long", "", "meta.number", "obscore:Char.PolarizationAxis.numBins"),
        Column("facility_name", "char", "", "meta.id;instr.tel"),
        Column("instrument_name", "char", "", "meta.id;instr", "obscore:Provenance.ObsConfig.Instrument.name"),
        Column("proposal_id", "char", "", "meta.id;obs.proposal"),
    )
)
"""The mandatory columns of ObsCore 1.1, and the proposal."""


def observed_rows(document: Document, manifest: Manifest, *, address: str, size_bytes: int) -> list[Row]:
    """Return a row for each target of each observation that a product in the crate shows.

    Parameters
    ----------
    address
        Address of the crate: an identifier of a product is this address and, behind ``#``, its path in the crate.
    size_bytes
        Size of the crate.
    """
    lineage, shipped = Lineage(document), manifest.shipped()
    products = [entity for entity in lineage.products() if entity.id in shipped]
    common: Row = {
        "obs_collection": manifest.credits.publisher.name if manifest.credits.publisher else "casaprov",
        "obs_id": (document.last_run or document.sessions[-1]).id,
        "access_url": address,
        "access_format": "application/zip",
        "access_estsize": -(-size_bytes // 1000),
    }
    return [
        {**common, "obs_publisher_did": f"{address}#{shipped[entity.id]}", **_facts(entity, observation)}
        for entity in products
        if entity.kind in ("Image", "FITS", "MeasurementSet")
        for observation in observations_of(lineage, entity)
    ]


def _facts(entity: Entity, observation: Observation) -> Row:
    """Return the facts about a product: its own, and where it has no header, those of the data that it came from."""
    facts = observation.facts()
    known: Row = {column.name: facts[column.name] for column in OBSCORE if column.name in facts}
    image = entity.kind == "Image" or observation.dataproduct_type in _IMAGES
    level = _MADE if image else observation.calib_level
    states = observation.pol_states.strip("/")
    return {**known, "calib_level": level or 1, "pol_xel": len(states.split("/")) if states else None}
