"""What is shipped, what is referenced, and that every decision says why."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from casaprov.errors import DigestError
from casaprov.payload import PayloadItem, PayloadPolicy, choose_payload
from sample_records import Measured, Reduction, make_reduction, measure


@pytest.fixture
def reduction(tmp_path: Path) -> Reduction:
    return make_reduction(tmp_path / "nb")


def choose(reduction: Reduction, **policy: bool | int) -> dict[str, PayloadItem]:
    items = choose_payload(reduction.document, reduction.folder, PayloadPolicy(**policy), measure=measure)  # type: ignore[arg-type]
    assert all(item.reason for item in items)
    assert all((item.source is not None) == (item.decision == "shipped") for item in items)
    return {item.entity.path: item for item in items}


def test_what_a_restore_needs_is_shipped_and_visibilities_are_not(reduction: Reduction) -> None:
    chosen = choose(reduction)
    assert {path for path, item in chosen.items() if item.decision == "shipped"} == {
        "n.listobs", "n.ms.flagversions", "n.gcal", "cube.image", "mom0.fits",
    }  # fmt: skip
    assert chosen["n.ms"].reason == "visibilities, referenced by digest"
    assert chosen["data/N.fits"].reason == "an input, to be found by its locators"
    assert chosen["n.gcal"].source == reduction.folder / "n.gcal"


def test_the_size_of_what_is_shipped_is_that_on_disk(reduction: Reduction) -> None:
    assert choose(reduction)["n.gcal"].size_bytes == sum(
        path.stat().st_size for path in (reduction.folder / "n.gcal").rglob("*") if path.is_file()
    )


def test_only_the_last_state_of_a_path_is_offered(reduction: Reduction) -> None:
    assert choose(reduction)["n.ms"].entity.id.endswith("e0007")


def test_images_beyond_the_limit_are_referenced_and_calibration_is_not(reduction: Reduction) -> None:
    chosen = choose(reduction, max_item_bytes=100)
    assert chosen["cube.image"].reason == "larger than the limit of 0.0001 MB"
    assert chosen["mom0.fits"].decision == "referenced"
    assert chosen["n.gcal"].decision == chosen["n.ms.flagversions"].decision == "shipped"


def test_visibilities_and_inputs_are_shipped_when_asked_for(reduction: Reduction) -> None:
    data = reduction.folder / "data" / "N.fits"
    data.parent.mkdir()
    data.write_bytes(b"SIMPLE")
    document = replace(
        reduction.document,
        entities=tuple(
            replace(e, content_digest=measure(data).content_digest) if e.path == "data/N.fits" else e
            for e in reduction.document.entities
        ),
    )
    chosen = choose(replace(reduction, document=document), ship_visibilities=True, ship_inputs=True, max_item_bytes=0)
    assert chosen["n.ms"].decision == chosen["data/N.fits"].decision == "shipped"


def test_an_exported_uvfits_counts_as_visibilities(reduction: Reduction) -> None:
    last = reduction.document.activities[-1]
    document = replace(
        reduction.document, activities=(*reduction.document.activities[:-1], replace(last, task="exportuvfits"))
    )
    assert choose(replace(reduction, document=document))["mom0.fits"].reason == "visibilities, referenced by digest"


def test_a_product_that_is_no_longer_the_recorded_one_is_not_shipped(reduction: Reduction) -> None:
    (reduction.folder / "n.gcal" / "table.f0").write_bytes(b"other solutions")
    (reduction.folder / "mom0.fits").unlink()
    chosen = choose(reduction)
    assert chosen["n.gcal"].reason == "changed since it was recorded"
    assert chosen["mom0.fits"].reason == "no longer there"


def test_a_link_and_a_name_no_zip_can_hold_are_not_shipped(reduction: Reduction) -> None:
    (reduction.folder / "n.gcal" / "link").symlink_to("/etc/passwd")
    (reduction.folder / "cube.image" / "back\\slash").write_bytes(b"")
    chosen = choose(reduction)
    assert "link" in chosen["n.gcal"].reason
    assert "backslash" in chosen["cube.image"].reason


def test_what_cannot_be_digested_any_more_is_not_shipped(reduction: Reduction) -> None:
    def broken(path: Path) -> Measured:
        raise DigestError(f"{path.name} is damaged.")

    items = choose_payload(reduction.document, reduction.folder, PayloadPolicy(), measure=broken)
    assert {item.decision for item in items} == {"referenced"}
    assert "not readable any more (n.gcal is damaged.)" in {item.reason for item in items}


def test_nothing_is_measured_that_is_not_shipped_anyway(reduction: Reduction) -> None:
    measured: list[str] = []

    def watched(path: Path) -> Measured:
        measured.append(path.name)
        return measure(path)

    choose_payload(reduction.document, reduction.folder, PayloadPolicy(), measure=watched)
    assert "n.ms" not in measured
    assert "N.fits" not in measured


def test_content_that_was_never_digested_is_not_shipped(reduction: Reduction) -> None:
    document = replace(
        reduction.document,
        entities=tuple(replace(e, content_digest=None, note="unreadable") for e in reduction.document.entities),
    )
    assert choose(replace(reduction, document=document))["n.gcal"].reason == "of unknown content (unreadable)"
