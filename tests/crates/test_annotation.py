"""Annotations reach the open part of a crate, and nothing else."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from casaprov.cli.commands import main
from casaprov.crate import annotate_crate, open_crate
from casaprov.crates.annotation import Annotation
from casaprov.crates.checking.validation import examine_crate
from casaprov.crates.layout import METADATA
from casaprov.credits.people import doi_of
from casaprov.errors import CrateError, UsageError
from casaprov.terms import CASA_PAPER
from sample_records import make_reduction, pack_reduction

OPTIONS = [
    "--doi", "10.5281/zenodo.1234567", "--publisher", "Zenodo <https://zenodo.org>", "--license", "cc-by-4.0",
    "--author", "J. Carberry <0000-0002-1825-0097>", "--author", "No Orcid", "--keyword", "VLBI", "--keyword", "VLA",
    "--funder", "SURF <https://ror.org/04jsz6e67>", "--citation", "10.3847/1538-3881/ab1234", "--published", "2026-12-01",
]  # fmt: skip


@pytest.fixture
def crate(tmp_path: Path) -> Path:
    return pack_reduction(make_reduction(tmp_path / "nb"), tmp_path / "x.zip").path


def root(metadata: dict[str, Any]) -> dict[str, Any]:
    return next(node for node in metadata["@graph"] if node["@id"] == "./")


def test_a_zip_gets_statements_and_keeps_every_other_byte(crate: Path, tmp_path: Path) -> None:
    assert main(["annotate", str(crate), *OPTIONS, "-o", str(tmp_path / "y.zip")]) == 0
    with zipfile.ZipFile(crate) as old, zipfile.ZipFile(tmp_path / "y.zip") as new:
        assert old.namelist() == new.namelist()
        assert [name for name in old.namelist() if old.read(name) != new.read(name)] == [METADATA]
        before, after = (json.loads(archive.read(METADATA)) for archive in (old, new))
    entities = {node["@id"]: node for node in after["@graph"]}
    about = root(after)
    assert about["identifier"] == "https://doi.org/10.5281/zenodo.1234567"
    assert about["datePublished"] == "2026-12-01"
    assert about["keywords"] == ["VLBI", "VLA"]
    assert [one["@id"] for one in about["citation"]] == [CASA_PAPER, "https://doi.org/10.3847/1538-3881/ab1234"]
    assert [entities[one["@id"]]["name"] for one in about["author"]] == ["J. Carberry", "No Orcid"]
    assert about["author"][0]["@id"] == "https://orcid.org/0000-0002-1825-0097"
    assert entities[about["license"]["@id"]]["name"] == "CC-BY-4.0"
    assert entities[about["publisher"]["@id"]] == {
        "@id": "https://zenodo.org",
        "@type": "Organization",
        "name": "Zenodo",
        "url": "https://zenodo.org",
    }
    assert all(node == entities[node["@id"]] for node in before["@graph"] if node["@id"] != "./")
    findings = examine_crate(tmp_path / "y.zip")
    assert findings.errors == ()
    assert "author, citation, datePublished, funder, identifier, keywords, license, publisher" in str(findings.notes[0])


def test_the_same_annotation_again_adds_nothing(crate: Path, tmp_path: Path) -> None:
    for old, new in ((crate, "y.zip"), (tmp_path / "y.zip", "z.zip")):
        assert main(["annotate", str(old), *OPTIONS, "-o", str(tmp_path / new)]) == 0
    first, second = (zipfile.ZipFile(tmp_path / name).read(METADATA) for name in ("y.zip", "z.zip"))
    assert first == second


def test_a_folder_stays_a_folder(crate: Path, tmp_path: Path) -> None:
    folder = open_crate(crate, tmp_path / "unpacked").folder
    annotate_crate(folder, tmp_path / "new", Annotation(title="Another title"))
    assert root(json.loads((tmp_path / "new" / METADATA).read_text()))["name"] == "Another title"
    assert root(json.loads((folder / METADATA).read_text()))["name"] == "my reduction"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--doi", "zenodo"], "'zenodo' is no DOI."),
        (["--author", "J. Carberry <0000-0002-1825-0098>"], "its checksum is wrong"),
        (["--license", "CC-BY"], "'CC-BY' is no licence of the SPDX list."),
        (["--published", "tomorrow"], "'tomorrow' is no date."),
        (["--part-of", "a collection"], "'a collection' is no address of a page."),
        ([], "There is nothing to write into the crate."),
    ],
)
def test_a_wrong_statement_is_refused(
    crate: Path, tmp_path: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["annotate", str(crate), *options, "-o", str(tmp_path / "y.zip")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "y.zip").exists()


def test_nothing_is_replaced_and_no_damaged_crate_annotated(crate: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="exists"):
        annotate_crate(crate, crate, Annotation(title="x"))
    folder = open_crate(crate, tmp_path / "unpacked").folder
    (folder / "products" / "mom0.fits").write_bytes(b"other")
    with pytest.raises(CrateError, match="not what its author packed"):
        annotate_crate(folder, tmp_path / "new", Annotation(title="x"))
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("text", ["10.5281/zenodo.1", "doi:10.5281/zenodo.1", "https://doi.org/10.5281/zenodo.1"])
def test_a_doi_has_one_spelling(text: str) -> None:
    assert doi_of(text) == "https://doi.org/10.5281/zenodo.1"
