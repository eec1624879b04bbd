"""FITS copies of final images, which an export makes, records and ships: a replay makes them again."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from casaprov.casa.image_fits import FitsMaker, ImageFits
from casaprov.casa.installed.data import DataSource
from casaprov.cli.commands import main
from casaprov.crates.stored_records import written_records
from casaprov.digests.measurement import Measurement, measure
from casaprov.readers.installed import fits_reader, table_reader
from casaprov.records.model import Document
from reductions import Reduction, reduce

pytestmark = [pytest.mark.casa, pytest.mark.slow, pytest.mark.long]

CELLS = (
    "%load_ext casaprov\nfrom casatasks import *\nimportfits('NGC5921.fits', 'sub/n.image')",
    "imsubimage('sub/n.image', 'n.pbcor', chans='0')\nimsubimage('sub/n.image', 'n.model', chans='0')",
    "imsubimage('sub/n.image', 'seen.image', chans='0')\nexportfits('seen.image', 'seen.fits')",
)


@pytest.fixture(scope="module")
def reduced(reduction: Reduction, tmp_path_factory: pytest.TempPathFactory, casa_site_config: DataSource) -> Reduction:
    folder = tmp_path_factory.mktemp("image-fits")
    (folder / "sub").mkdir()
    return reduce(folder, reduction.folder / "n.fits", CELLS)


def test_copies_are_made_recorded_shipped_and_replayed(
    reduced: Reduction, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(path for path in reduced.folder.rglob("*") if "trees" not in path.parts)
    crate = tmp_path / "n.crate.zip"
    assert main(["export", str(reduced.notebook), "-o", str(crate), "--fits"]) == 0
    assert sorted(path for path in reduced.folder.rglob("*") if "trees" not in path.parts) == before
    document, manifest = written_records(crate)
    session = document.sessions[-1]
    assert [one.exporting for one in document.sessions] == [False, True]
    assert document.last_run is document.sessions[0]
    calls = {call.parameters["imagename"]: call for call in document.activities if call.session == session.id}
    assert {name: call.parameters["fitsimage"] for name, call in calls.items()} == {
        "sub/n.image": "sub/n.image.fits",
        "n.pbcor": "n.pbcor.fits",
    }
    assert calls["n.pbcor"].parameters["stokeslast"] is True
    copies = {entity.path: entity for entity in document.entities if entity.session == session.id}
    shipped = manifest.shipped()
    assert {shipped[copy.id] for copy in copies.values()} == {"products/sub/n.image.fits", "products/n.pbcor.fits"}
    assert copies["n.pbcor.fits"].observations[0].target_name == "1331+30500002_0"
    with zipfile.ZipFile(crate) as archive:
        assert str(reduced.folder).encode() not in archive.read("products/n.pbcor.fits")
        graph = json.loads(archive.read("ro-crate-metadata.json"))["@graph"]
    run = next(node for node in graph if node["@id"] == f"#run/{session.id}")
    assert run["instrument"]["@id"].startswith("#engine/casaprov")
    capsys.readouterr()
    assert main(["validate", str(crate), "--profile"]) == 0
    assert "with all its parameters" not in capsys.readouterr().out
    assert main(["replay", str(crate), "--work", str(tmp_path / "again")]) == 0
    report = json.loads((tmp_path / "again" / "replay-report.json").read_text())
    verdicts = {product["path"]: product["comparison"]["verdict"] for product in report["products"]}
    assert verdicts["sub/n.image.fits"] == verdicts["n.pbcor.fits"] == "same-content"


def test_an_image_beyond_the_limit_is_named(
    reduced: Reduction, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    crate = tmp_path / "n.crate.zip"
    assert main(["export", str(reduced.notebook), "-o", str(crate), "--fits", "--max-size", "0"]) == 0
    assert "n.pbcor is not in the crate as FITS: it is larger than the limit of 0 MB" in capsys.readouterr().err
    document, _ = written_records(crate)
    assert not document.sessions[-1].exporting


def test_the_same_record_and_clock_give_the_same_record_of_copies(reduced: Reduction, tmp_path: Path) -> None:
    document, _ = written_records(reduced.crate)
    images = {entity.path: entity.id for entity in document.entities}
    (tmp_path / "damaged").mkdir()
    places = {images["n.pbcor"]: reduced.folder / "n.pbcor", images["n.model"]: tmp_path / "damaged"}
    one, other = (copies(document, places, tmp_path / name) for name in ("one", "other"))
    assert one.document.sessions[-1].id.startswith("20260501T100000-")
    assert [call.id for call in one.document.activities] == [call.id for call in other.document.activities]
    assert one.document.entities[-1].content_digest == other.document.entities[-1].content_digest
    assert one.document.entities[-1].path == "n.pbcor.fits"
    (note,) = one.notes
    assert note.startswith("n.model is not in the crate as FITS. exportfits failed: ")


def copies(document: Document, images: dict[str, Path], folder: Path) -> ImageFits:
    into = folder / "copies"
    into.mkdir(parents=True)

    def measured(path: Path, *, tier: str = "full") -> Measurement:
        return measure(path, table_reader, fits_reader)

    return FitsMaker(measured, lambda: "2026-05-01T10:00:00.000000+00:00")(document, images, into, folder / "journal")
