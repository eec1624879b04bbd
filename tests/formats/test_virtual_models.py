"""Models that CASA notes in a table instead of a column: what of them counts."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from casacore import tables as casacore

import by_the_page
from casaprov.comparison.tables import compare_tables
from casaprov.comparison.verdict import Tolerance
from casaprov.digests.measurement import measure
from casaprov.processes.worker import Worker
from casaprov.readers.casacore_tables import CasacoreReader
from casaprov.readers.installed import fits_reader
from checkout import ROOT, SUPPORT
from sample_tables import model_table

SEARCH = {"PYTHONPATH": f"{SUPPORT}:{ROOT}"}


def _digest(path: Path) -> str:
    return measure(path, CasacoreReader, fits_reader).content_digest


def _differences(left: Path, right: Path) -> list[str]:
    return [found.path for found in compare_tables(left, right, reader=CasacoreReader(), tolerance=Tolerance())]


def test_the_image_counts_and_not_its_name_nor_what_is_not_initialised(tmp_path: Path) -> None:
    first = model_table(tmp_path / "first")
    other = model_table(tmp_path / "renamed", "FT_MODEL7247_3", noise=64)
    assert _digest(other) == _digest(first)
    assert _differences(first, other) == []


def test_another_image_a_missing_one_and_none_differ(tmp_path: Path) -> None:
    first, fainter, gone, without = (model_table(tmp_path / name) for name in ("first", "fainter", "gone", "without"))
    with casacore.table(f"{fainter}/FT_MODEL5099_41", readonly=False, ack=False) as image:
        image.putcell("map", 0, 2.4)
    shutil.rmtree(gone / "FT_MODEL5099_41")
    with casacore.table(str(without), readonly=False, ack=False) as table:
        table.putcell("SOURCE_MODEL", 1, {"ft_0": {"container": {"nantenna": 277, "name": "GridFT"}}, "numft": 1})
    others = (fainter, gone, without)
    assert len({_digest(path) for path in (first, *others)}) == 4
    assert [_digest(path) for path in others] == [by_the_page.product(path) for path in others]
    place = "SOURCE_MODEL/1/ft_0/container/diskimage"
    assert [_differences(first, path) for path in others] == [[f"{place}/map"], [place], ["SOURCE_MODEL", place]]


def test_all_else_in_the_record_counts(tmp_path: Path) -> None:
    first, other = (model_table(tmp_path / name) for name in ("first", "other"))
    with casacore.table(str(other), readonly=False, ack=False) as table:
        record = table.getcell("SOURCE_MODEL", 1)
        record["ft_0"]["container"]["name"] = "MosaicFT"
        table.putcell("SOURCE_MODEL", 1, record)
        keywords = table.getkeyword("model_0")
        table.putkeyword("model_0", {**keywords, "numft": 2})
    assert _digest(other) != _digest(first)
    assert _differences(first, other) == ["keywords/model_0/numft", "SOURCE_MODEL"]


@pytest.mark.long
@pytest.mark.casa
@pytest.mark.slow
def test_models_of_two_processes_are_the_same_and_those_of_other_images_are_not(
    casa_site_config: Any, ngc5921_fits: Path, tmp_path: Path
) -> None:
    digests = {}
    for name, niter in (("first", 10), ("again", 10), ("deeper", 20)):
        folder = tmp_path / name
        folder.mkdir()
        with closing(Worker("casa_products", cwd=folder, environment=SEARCH)) as maker:
            made = maker.call("models", fits=str(ngc5921_fits), niter=niter)
        digests[name] = {product: _digest(folder / product) for product in made}
    assert digests["again"] == digests["first"]
    assert digests["deeper"].pop("cleaned.ms") != digests["first"]["cleaned.ms"]
    assert digests["deeper"].pop("ft.ms") != digests["first"]["ft.ms"]
    assert digests["deeper"].items() < digests["first"].items()
    tree = measure(tmp_path / "first" / "cleaned.ms", CasacoreReader, fits_reader).tree
    assert tree is not None
    models = [name for name in tree["table"]["tables"]["SOURCE"]["tables"] if name.startswith("SOURCE_MODEL")]
    assert models == [f"SOURCE_MODEL/0/ft_0/container/subftm_{term}/diskimage" for term in (0, 1)]
