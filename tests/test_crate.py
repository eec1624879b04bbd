"""Packing and opening: the same Document comes back, or a sentence that says why not."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from casaprov.crate import OpenCrate, Packed, open_crate
from casaprov.crates.checking.validation import check_crate
from casaprov.digests.tree import content_digest
from casaprov.errors import CrateError
from casaprov.records.model import Document, Entity
from sample_records import Reduction, make_reduction, measure, pack_reduction


@pytest.fixture
def reduction(tmp_path: Path) -> Reduction:
    return make_reduction(tmp_path / "nb")


@pytest.fixture
def packed(reduction: Reduction, tmp_path: Path) -> Packed:
    return pack_reduction(reduction, tmp_path / "x.zip")


@pytest.fixture
def opened(packed: Packed, tmp_path: Path) -> OpenCrate:
    return open_crate(packed.path, tmp_path / "opened")


def entity(document: Document, path: str) -> Entity:
    return [entity for entity in document.entities if entity.path == path][-1]


def test_the_document_comes_back_and_so_do_the_files(reduction: Reduction, opened: OpenCrate) -> None:
    assert opened.document == reduction.document
    assert opened.notebook.read_bytes() == reduction.notebook.read_bytes()
    for path in ("n.gcal", "n.ms.flagversions", "cube.image", "mom0.fits", "n.listobs"):
        shipped = opened.shipped(entity(opened.document, path))
        assert shipped is not None
        assert measure(shipped) == measure(reduction.folder / path)
    assert (opened.folder / "products/n.gcal/EMPTY").is_dir()


def test_what_was_removed_is_not_shipped_any_more(opened: OpenCrate) -> None:
    product = entity(opened.document, "mom0.fits")
    shipped = opened.shipped(product)
    assert shipped is not None
    shipped.unlink()
    assert open_crate(opened.folder, opened.folder, verify=False).shipped(product) is None


def test_what_is_referenced_has_no_file_but_a_tree(opened: OpenCrate) -> None:
    for path in ("n.ms", "data/N.fits"):
        assert opened.shipped(entity(opened.document, path)) is None
        tree = opened.tree(entity(opened.document, path))
        assert tree is not None
        assert content_digest(json.loads(tree.read_text())) == entity(opened.document, path).content_digest
    unknown = replace(entity(opened.document, "n.ms"), content_digest=None)
    assert opened.tree(unknown) is None


def test_logs_and_parameters_of_every_call_are_there(opened: OpenCrate) -> None:
    for number, activity in enumerate(opened.document.activities, start=1):
        log = opened.log(activity)
        assert log is not None
        assert activity.task in log.read_text()
        parameters = json.loads((opened.folder / f"parameters/{number:02d}-{activity.task}.json").read_text())
        assert parameters["parameters"] == activity.parameters


def test_a_folder_is_opened_where_it_is(opened: OpenCrate, tmp_path: Path) -> None:
    again = open_crate(opened.folder, tmp_path / "not used")
    assert again.folder == opened.folder
    assert not (tmp_path / "not used").exists()


def test_inputs_and_visibilities_can_be_shipped(reduction: Reduction, tmp_path: Path) -> None:
    pack_reduction(reduction, tmp_path / "x.zip", ship_visibilities=True)
    opened = open_crate(tmp_path / "x.zip", tmp_path / "o")
    assert opened.shipped(entity(opened.document, "n.ms")) == opened.folder / "products/n.ms/"


def test_a_product_outside_of_the_folder_is_shipped_too(reduction: Reduction, tmp_path: Path) -> None:
    outside = tmp_path / "elsewhere.fits"
    outside.write_bytes((reduction.folder / "mom0.fits").read_bytes())
    entities = tuple(
        replace(e, path=str(outside), content_digest=measure(outside).content_digest) if e.path == "mom0.fits" else e
        for e in reduction.document.entities
    )
    moved = replace(reduction, document=replace(reduction.document, entities=entities))
    pack_reduction(moved, tmp_path / "x.zip")
    assert check_crate(tmp_path / "x.zip") == ()
    opened = open_crate(tmp_path / "x.zip", tmp_path / "o")
    assert (
        opened.shipped(entity(opened.document, str(outside))) == opened.folder / "products/_absolute" / str(outside)[1:]
    )


@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.9, 0.99, 0.9999])
def test_a_truncated_crate_is_refused_and_leaves_nothing(packed: Packed, tmp_path: Path, part: float) -> None:
    whole = packed.path.read_bytes()
    packed.path.write_bytes(whole[: int(part * len(whole))])
    with pytest.raises(CrateError, match="truncated") as caught:
        open_crate(packed.path, tmp_path / "o")
    assert "new copy" in caught.value.hint
    assert not (tmp_path / "o").exists()


def rewrite(path: Path, out: Path, **changes: bytes | None) -> Path:
    """Copy a zip with other content for some names; None leaves them out."""
    named = {name.replace("__", "/").replace("_dot_", "."): data for name, data in changes.items()}
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(out, "w") as new:
        for info in old.infolist():
            data = named.pop(info.filename, old.read(info))
            if data is not None:
                new.writestr(info, data)
        for name, data in named.items():
            new.writestr(name, data or b"")
    return out


def test_a_crate_without_records_says_so(packed: Packed, tmp_path: Path) -> None:
    path = rewrite(packed.path, tmp_path / "y.zip", records__document_dot_json=None)
    with pytest.raises(CrateError, match="This crate holds no casaprov records"):
        open_crate(path, tmp_path / "o")
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize("around", ["my crate/", "top/data/", "data/"])
def test_a_crate_inside_a_folder_or_a_bag_is_opened(packed: Packed, tmp_path: Path, around: str) -> None:
    with zipfile.ZipFile(packed.path) as old, zipfile.ZipFile(tmp_path / "y.zip", "w") as new:
        for name in old.namelist():
            new.writestr(f"{around}{name}", old.read(name))
        if around.endswith("data/"):
            new.writestr(f"{around.removesuffix('data/')}bagit.txt", "BagIt-Version: 0.97\n")
        new.writestr("__MACOSX/._x", b"x")
    opened = open_crate(tmp_path / "y.zip", tmp_path / "o")
    assert opened.folder == tmp_path / "o" / around
    assert opened.notebook.is_file()
    assert opened.notes[0].message == "The crate lies in this folder."
    assert check_crate(tmp_path / "o") == ()


def test_two_crates_in_one_zip_are_refused(packed: Packed, tmp_path: Path) -> None:
    with zipfile.ZipFile(packed.path) as old, zipfile.ZipFile(tmp_path / "y.zip", "w") as new:
        for name in old.namelist():
            new.writestr(f"a/{name}", old.read(name))
            new.writestr(f"b/{name}", old.read(name))
    with pytest.raises(CrateError, match="It holds several crates: a, b"):
        open_crate(tmp_path / "y.zip", tmp_path / "o")
    assert not (tmp_path / "o").exists()


def test_every_file_that_was_touched_is_named_and_nothing_is_left(packed: Packed, tmp_path: Path) -> None:
    path = rewrite(
        packed.path, tmp_path / "y.zip", products__mom0_dot_fits=b"other", README_dot_md=None, products__new=b"new"
    )
    with pytest.raises(CrateError) as caught:
        open_crate(path, tmp_path / "o")
    assert {(i.path, i.message) for i in caught.value.issues} == {
        ("products/mom0.fits", "It was changed."),
        ("README.md", "It was removed."),
        ("products/new", "It was added."),
    }
    assert "casaprov validate" in caught.value.hint
    assert not (tmp_path / "o").exists()
