"""A notebook that is recorded says what was observed: in its record, crate, README, keywords and PROV."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from casaprov.cli.commands import main
from casaprov.crate import open_crate
from casaprov.lineage.graph import Lineage
from casaprov.lineage.observed import observations_of
from casaprov.lineage.prov import to_prov
from casaprov.readers.observed import observed
from casaprov.records.model import Document
from reductions import Reduction

pytestmark = [pytest.mark.casa, pytest.mark.slow]

TARGETS = ["1331+30500002_0", "1445+09900002_0", "N5921_2"]


@pytest.fixture(scope="module")
def document(reduction: Reduction, tmp_path_factory: pytest.TempPathFactory) -> Document:
    return open_crate(reduction.crate, tmp_path_factory.mktemp("opened"), verify=False).document


def graph(crate: Path) -> dict[str, dict[str, Any]]:
    with zipfile.ZipFile(crate) as archive:
        return {node["@id"]: node for node in json.loads(archive.read("ro-crate-metadata.json"))["@graph"]}


def test_the_record_has_the_observations_of_inputs_and_images(document: Document) -> None:
    lineage = Lineage(document)
    (data,) = lineage.states("NGC5921.fits")
    assert [row.target_name for row in data.observations] == TARGETS
    for path in ("n.ms", "n.gcal"):
        assert all(not state.observations for state in lineage.states(path))
        assert [row.target_name for row in observations_of(lineage, lineage.states(path)[-1])] == TARGETS
    for path in ("n.image", "n.fits"):
        (shown,) = lineage.states(path)[-1].observations
        assert (shown.target_name, shown.facility_name, shown.observer) == (TARGETS[0], "VLA", "")
        assert shown.sources["target_name"] in ("imageinfo.objectname", "OBJECT")


def test_the_crate_names_telescope_targets_band_and_times(reduction: Reduction) -> None:
    nodes = graph(reduction.crate)
    root = nodes["./"]
    assert root["keywords"] == ["VLA", *TARGETS, "L band"]
    assert root["temporalCoverage"] == "1995-04-13T09:18:16/1995-04-13T10:46:46"
    observations = [nodes[one["@id"]] for one in root["isBasedOn"]]
    assert [nodes[node["about"]["@id"]]["name"] for node in observations] == TARGETS
    facts = {nodes[one["@id"]]["name"]: nodes[one["@id"]] for one in observations[0]["variableMeasured"]}
    assert facts["em_min"]["unitText"] == "m"
    assert facts["facility_name"]["description"] == "From PRIMARY TELESCOP."
    image = nodes["products/n.image/"]
    assert nodes[image["about"]["@id"]] == {"@id": "#target/1331%2B30500002_0", "@type": "Thing", "name": TARGETS[0]}
    assert len(nodes["products/n.gcal/"]["about"]) == 3
    with zipfile.ZipFile(reduction.crate) as archive:
        assert "| `NGC5921.fits` | N5921_2 | VLA |  | L band | 1995-04-13T" in archive.read("README.md").decode()


def test_a_measurement_set_says_what_the_uvfits_said(reduction: Reduction) -> None:
    # importuvfits leaves one instant in OBSERVATION.TIME_RANGE and an empty PROJECT.
    before, after = observed(reduction.folder / "NGC5921.fits"), observed(reduction.folder / "n.ms")
    for fits, table in zip(before, after, strict=True):
        assert (table.target_name, table.facility_name, table.pol_states) == (fits.target_name, "VLA", fits.pol_states)
        times = [(row.t_min or 0, row.t_max or 0) for row in (fits, table)]
        assert times[0] == pytest.approx(times[1], abs=1e-6)
        assert (table.s_ra or 0, table.s_dec or 0) == pytest.approx((fits.s_ra or 0, fits.s_dec or 0))
        assert table.em_min == pytest.approx(fits.em_min, rel=1e-4)


def test_prov_has_the_facts(document: Document) -> None:
    entities = to_prov(document)["entity"].values()
    data = next(entity for entity in entities if entity.get("prov:location") == "NGC5921.fits")
    assert data["casaprov:target_name"] == TARGETS
    assert data["casaprov:facility_name"] == "VLA"


def test_the_observer_is_named_only_where_the_user_asks_for_it(reduction: Reduction, tmp_path: Path) -> None:
    journals = (reduction.folder / ".casaprov" / "n").glob("*.jsonl")
    assert all('"observer"' not in path.read_text() for path in journals)
    crate = tmp_path / "by.zip"
    assert main(["export", str(reduction.notebook), "-o", str(crate), "--with-observer"]) == 0
    record = open_crate(crate, tmp_path / "opened").document
    (data,) = Lineage(record).states("NGC5921.fits")
    assert {row.observer for row in data.observations} == {"TEST"}
    assert "observer" in {node.get("name") for node in graph(crate).values()}
