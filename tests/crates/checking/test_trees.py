"""A digest tree from outside is what its name says, and can be compared with."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from casaprov.crate import open_crate
from casaprov.crates.checking.trees import tree_issues
from casaprov.crates.checking.validation import check_folder
from casaprov.crates.layout import TREES, tree_name
from casaprov.digests.sketch import Sketcher
from casaprov.errors import CrateError
from casaprov.hashing import Digest, digest_bytes, digest_record
from casaprov.records.model import Document, Entity
from sample_records import make_reduction, pack_reduction


@pytest.fixture
def unpacked(tmp_path: Path) -> Path:
    crate = pack_reduction(make_reduction(tmp_path / "nb"), tmp_path / "x.zip").path
    return open_crate(crate, tmp_path / "unpacked").folder


@pytest.fixture
def document(tmp_path: Path, unpacked: Path) -> Document:
    return open_crate(unpacked, unpacked).document


def tree_of(document: Document, unpacked: Path, path: str) -> Path:
    digest = next(entity.content_digest for entity in reversed(document.entities) if entity.path == path)
    assert digest is not None
    return unpacked / tree_name(digest)


def edit(file: Path, change: Callable[[Any], Any]) -> None:
    tree = json.loads(file.read_text())
    change(tree)
    file.write_text(json.dumps(tree))


def issues_of(unpacked: Path, document: Document) -> str:
    return "\n".join(map(str, tree_issues(unpacked, document)))


def test_trees_as_they_were_packed_have_no_issues(unpacked: Path, document: Document) -> None:
    assert len(list((unpacked / TREES).iterdir())) == 6
    assert issues_of(unpacked, document) == ""


def _other_column(tree: Any) -> None:
    tree["table"]["columns"]["table.f0"]["digest"] = digest_bytes(b"forged")


def _other_root(tree: Any) -> None:
    tree["table"]["digest"] = digest_bytes(b"forged")


def _more_rows(tree: Any) -> None:
    tree["table"]["rows"] += 1


def _renamed_column(tree: Any) -> None:
    tree["table"]["columns"]["DATA"] = tree["table"]["columns"].pop("table.f0")


@pytest.mark.parametrize("change", [_other_column, _other_root, _more_rows, _renamed_column])
def test_a_tree_that_does_not_follow_from_its_leaves_is_refused_even_without_checksums(
    unpacked: Path, document: Document, change: Callable[[Any], None]
) -> None:
    edit(tree_of(document, unpacked, "n.gcal"), change)
    assert "Its digest is not that of its columns" in issues_of(unpacked, document)
    with pytest.raises(CrateError, match="Its digest is not that of its columns"):
        open_crate(unpacked, unpacked, verify=False)


def test_a_tree_that_no_record_speaks_of_is_refused(unpacked: Path, document: Document) -> None:
    known = tree_of(document, unpacked, "mom0.fits")
    gone = replace(document, entities=tuple(e for e in document.entities if e.path != "mom0.fits"))
    assert issues_of(unpacked, gone) == f"{TREES}{known.name}: The records know no content with this digest."
    (unpacked / TREES / "deeper").mkdir()
    known.rename(unpacked / TREES / "deeper" / known.name)
    assert "The records know no content" in issues_of(unpacked, document)


def test_a_tree_of_another_kind_is_refused(unpacked: Path, document: Document) -> None:
    edit(tree_of(document, unpacked, "n.gcal"), lambda tree: tree.update(kind="Image"))
    assert "tree of a Image; the records name a CalibrationTable" in issues_of(unpacked, document)


@pytest.mark.parametrize("text", ["", "[]", "3", "null", "{}", '{"format": "casaprov/tree/1"}', "[" * 10_000])
def test_what_is_no_tree_is_an_issue_and_no_crash(unpacked: Path, document: Document, text: str) -> None:
    tree_of(document, unpacked, "n.gcal").write_text(text)
    assert len(list(tree_issues(unpacked, document))) == 1
    assert check_folder(unpacked)


def _sketched(change: dict[str, Any]) -> dict[str, Any]:
    sketcher = Sketcher()
    sketcher.update(np.arange(1000.0) + 1j)
    return {**sketcher.sketch().to_json(), **change}


def _digested(values: Digest, sketch: dict[str, Any]) -> str:
    return digest_record("casaprov/sketch/1", values, sketch)


@pytest.mark.parametrize(
    ("change", "good"),
    [
        ({}, True),
        ({"samples": [1.0]}, False),
        ({"samples": [None] * 256}, False),
        ({"samples": [["x", 1.0]] * 250}, False),
        ({"samples": [10**400] * 250}, False),
        ({"count": -1}, False),
        ({"count": 1e3}, False),
        ({"nan": "none"}, False),
        ({"rms": "large"}, False),
        ({"mean_re": [1.0]}, False),
    ],
    ids=repr,
)
def test_sketches_are_held_to_their_form(
    unpacked: Path, document: Document, change: dict[str, Any], *, good: bool
) -> None:
    def add(tree: Any) -> None:
        column, sketch = tree["table"]["columns"]["table.f0"], _sketched(change)
        column |= {"sketch": sketch, "sketch_digest": _digested(column["digest"], sketch)}

    edit(tree_of(document, unpacked, "n.gcal"), add)
    assert (issues_of(unpacked, document) == "") is good


def test_a_sketch_that_is_not_the_one_of_its_values_is_refused(unpacked: Path, document: Document) -> None:
    def add(tree: Any) -> None:
        column = tree["table"]["columns"]["table.f0"]
        column["sketch"] = _sketched({"rms": 5.0})
        column["sketch_digest"] = _digested(column["digest"], _sketched({}))

    edit(tree_of(document, unpacked, "n.gcal"), add)
    assert "The digest of a sketch is not that of its values." in issues_of(unpacked, document)
    edit(tree_of(document, unpacked, "n.gcal"), lambda tree: tree["table"]["columns"]["table.f0"].pop("sketch_digest"))
    assert "A sketch has no digest." in issues_of(unpacked, document)


def test_trees_of_the_first_format_stay_readable(unpacked: Path, document: Document) -> None:
    def first(tree: Any) -> None:
        sketch = _sketched({})
        del sketch["linear"]
        tree["table"]["columns"]["table.f0"]["sketch"] = sketch
        tree["format"] = "casaprov/tree/1"

    edit(tree_of(document, unpacked, "n.gcal"), first)
    assert issues_of(unpacked, document) == ""
    edit(tree_of(document, unpacked, "n.gcal"), lambda tree: tree.update(format="casaprov/tree/3"))
    assert "does not know digest trees of the format 'casaprov/tree/3'" in issues_of(unpacked, document)


def test_every_record_of_a_content_may_be_of_its_kind(unpacked: Path, document: Document) -> None:
    copied = next(entity for entity in document.entities if entity.path == "n.gcal")
    copy: Entity = replace(copied, id="copy", path="copy.gcal")
    assert issues_of(unpacked, replace(document, entities=(*document.entities, copy))) == ""
