"""Other people's tools read our crates: the official validator and runcrate."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from casaprov.crate import OpenCrate, Packed, open_crate, pack
from casaprov.crates.checking.validation import check_crate
from casaprov.crates.payload import PayloadPolicy, choose_payload
from casaprov.records.model import Agent
from profile_cache import contexts_folder, seed
from sample_records import Reduction, make_reduction, measure, pack_reduction

BIN = Path(sys.executable).parent


@pytest.fixture
def reduction(tmp_path: Path) -> Reduction:
    return make_reduction(tmp_path / "nb")


@pytest.fixture
def packed(reduction: Reduction, tmp_path: Path) -> Packed:
    return pack_reduction(reduction, tmp_path / "x.zip")


@pytest.fixture
def opened(packed: Packed, tmp_path: Path) -> OpenCrate:
    return open_crate(packed.path, tmp_path / "opened")


@pytest.fixture(scope="session")
def validator_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    contexts = contexts_folder()
    if contexts is None:
        pytest.skip("no JSON-LD contexts: set CASAPROV_TEST_CONTEXTS to the folder that holds them")
    return seed(contexts, tmp_path_factory.mktemp("contexts"))


def run_validator(crate: Path, cache: Path) -> tuple[int, str]:
    options = ["-p", "provenance-run-crate-0.5", "-l", "required", "--offline", "--cache-path", cache, "--no-paging"]
    command = [BIN / "rocrate-validator", "--no-interactive", "-y", "validate", crate, *options]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def missing_recommendations(crate: Path, cache: Path) -> set[str]:
    """Names of the checks that fail, from a child: rdflib warns of its own deprecations."""
    code = (
        "import json, sys; from rocrate_validator import models, services\n"
        "settings = services.ValidationSettings(rocrate_uri=sys.argv[1], cache_path=sys.argv[2], offline=True,\n"
        "    profile_identifier='provenance-run-crate-0.5', requirement_severity=models.Severity.RECOMMENDED)\n"
        "print(json.dumps([issue.check.name for issue in services.validate(settings).get_issues()]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, crate, cache], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def test_the_official_validator_accepts_a_crate(packed: Packed, validator_cache: Path) -> None:
    status, output = run_validator(packed.path, validator_cache)
    assert status == 0, output


@pytest.mark.long
def test_the_official_validator_refuses_the_crate_when_a_step_is_missing(
    opened: OpenCrate, validator_cache: Path
) -> None:
    path = opened.folder / "ro-crate-metadata.json"
    data = json.loads(path.read_text())
    data["@graph"] = [node for node in data["@graph"] if node["@type"] != "HowToStep"]
    path.write_text(json.dumps(data))
    status, output = run_validator(opened.folder, validator_cache)
    assert status == 1, output


def test_of_the_recommendations_only_what_nobody_knows_is_missing(
    reduction: Reduction, validator_cache: Path, tmp_path: Path
) -> None:
    author = Agent(id="https://orcid.org/0000-0002-1825-0097", type="Person", name="J. Carberry")
    document = replace(reduction.document, agents=(*reduction.document.agents, author))
    items = choose_payload(document, reduction.folders, PayloadPolicy(), measure=measure)
    pack(
        document,
        notebook=reduction.notebook,
        journal=reduction.journal,
        items=items,
        out=tmp_path / "x.zip",
        license="CC-BY-4.0",
        authors=(author,),
    )
    assert check_crate(tmp_path / "x.zip") == ()
    assert missing_recommendations(tmp_path / "x.zip", validator_cache) == {
        "SoftwareApplication id",  # tasks have no pages of their own to be named by
        "Root Data Entity: `publisher` property",  # whoever publishes it will know
        "CreativeWork Author: RECOMMENDED affiliation property",
        "CreativeWork Author: RECOMMENDED Contextual Entity linked for the organizational `affiliation` property",
    }


def test_runcrate_lists_every_call(packed: Packed, reduction: Reduction) -> None:
    done = subprocess.run([BIN / "runcrate", "report", packed.path], capture_output=True, text=True, check=True)
    for activity in reduction.document.activities:
        assert f"action: #call/{activity.id}\n" in done.stdout
    assert "    inf <- #input/casatasks.gaincal@6.7.0.31/solint" in done.stdout
    assert "    products/n.gcal/ <- #output/casatasks.gaincal@6.7.0.31/caltable" in done.stdout
