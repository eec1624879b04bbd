"""A notebook's input is tied to an archive: in its record, crate and PROV."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import pytest

from casaprov.cli.commands import main
from casaprov.crate import open_crate
from casaprov.lineage.graph import Lineage
from casaprov.lineage.prov import from_prov, to_prov
from casaprov.records.model import Locator
from reductions import Reduction
from tap_server import serve_tap

pytestmark = [pytest.mark.casa, pytest.mark.slow]

DID = "ivo://jive.eu/~?N5921_1_J1848%2B3219+x"
TAP = "https://tap.example/tap"


def test_a_stated_identifier_is_in_the_crate(reduction: Reduction, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(reduction.folder, folder, ignore=shutil.ignore_patterns("*.zip"))
    notebook, crate = folder / "n.ipynb", tmp_path / "n.zip"
    assert (
        main(["link", str(notebook), "NGC5921.fits", "--id", DID, "--id", "doi:10.5281/zenodo.12", "--tap", TAP]) == 0
    )
    # Its headers state no project: there is nothing to look up, and nobody is asked.
    with serve_tap({}) as tap:
        assert main(["link", str(notebook), "--auto", "--tap", tap.url]) == 1
        assert tap.queries == []
    assert main(["export", str(notebook), "-o", str(crate)]) == 0
    assert main(["validate", str(crate)]) == 0
    document = open_crate(crate, tmp_path / "opened").document
    (data,) = Lineage(document).states("NGC5921.fits")
    assert [(i.scheme, i.value, i.confidence) for i in data.identifiers] == [
        ("ivoid", DID, "stated"),
        ("doi", "10.5281/zenodo.12", "stated"),
    ]
    assert data.locators[-1] == Locator(scheme="vo", value=DID)
    with zipfile.ZipFile(crate) as archive:
        nodes = {node["@id"]: node for node in json.loads(archive.read("ro-crate-metadata.json"))["@graph"]}
    entity = next(node for node in nodes.values() if node.get("alternateName") == "NGC5921.fits")
    names = {nodes[one["@id"]]["name"]: nodes[one["@id"]]["value"] for one in entity["identifier"]}
    assert (names["obs_publisher_did"], names["doi"]) == (DID, "10.5281/zenodo.12")
    held = nodes[entity["isPartOf"][0]["@id"]]
    assert nodes[held["includedInDataCatalog"]["@id"]]["url"] == TAP
    assert held["@id"] in {one["@id"] for one in nodes["./"]["isBasedOn"]}
    prov = to_prov(document)
    sources = [
        r for r in prov["wasDerivedFrom"].values() if r.get("prov:type", [{}])[0].get("$") == "prov:PrimarySource"
    ]
    assert len(sources) == 2
    assert from_prov(prov) == document


def test_a_crate_says_that_nothing_was_looked_up(reduction: Reduction) -> None:
    with zipfile.ZipFile(reduction.crate) as archive:
        assert "It was not looked up in an archive." in archive.read("ro-crate-metadata.json").decode()


def test_a_request_that_is_half_is_refused(reduction: Reduction) -> None:
    notebook = str(reduction.notebook)
    for arguments in ([], ["NGC5921.fits"], ["--auto", "--id", DID], ["NGC5921.fits", "--auto"], ["--id", DID]):
        assert main(["link", notebook, *arguments]) == 2
