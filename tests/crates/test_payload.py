"""What is shipped, what is referenced, and that every decision says why."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from casaprov.cli.commands import main
from casaprov.crates.payload import PayloadItem, PayloadPolicy, choose_payload
from casaprov.errors import DigestError, UsageError
from casaprov.files.stamps import stamp
from casaprov.records.model import Entity, Locator, Tier, Usage
from sample_records import Measured, Reduction, make_reduction, measure


@pytest.fixture
def reduction(tmp_path: Path) -> Reduction:
    return make_reduction(tmp_path / "nb")


def choose(reduction: Reduction, **policy: Any) -> dict[str, PayloadItem]:
    items = choose_payload(reduction.document, reduction.folders, PayloadPolicy(**policy), measure=measure)
    assert all(item.reason for item in items)
    assert all((item.source is not None) == (item.decision == "shipped") for item in items)
    return {item.entity.path: item for item in items}


def test_what_a_restore_needs_is_shipped_and_visibilities_are_not(reduction: Reduction) -> None:
    chosen = choose(reduction)
    assert {path for path, item in chosen.items() if item.decision == "shipped"} == {
        "n.listobs", "n.ms.flagversions", "n.gcal", "cube.image", "mom0.fits",
    }  # fmt: skip
    assert chosen["n.ms"].reason == "visibilities, referenced by digest"
    assert chosen["data/N.fits"].reason == "an input; the record says where to find it"
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


def test_a_product_that_was_renamed_since_is_found_by_its_content(reduction: Reduction) -> None:
    for name in ("n.gcal", "n.ms"):
        reduction = with_entity(reduction, name, size_bytes=stamp(reduction.folder / name).size_bytes)
    (reduction.folder / "results" / "old").mkdir(parents=True)
    shutil.copytree(reduction.folder / "n.gcal", reduction.folder / "a.gcal")  # of the same size
    (reduction.folder / "a.gcal" / "table.f0").write_bytes(
        (reduction.folder / "n.gcal" / "table.f0").read_bytes()[::-1]
    )
    (reduction.folder / "n.gcal").rename(reduction.folder / "results" / "old" / "final.gcal")
    (reduction.folder / "n.ms").rename(reduction.folder / "m.ms")
    chosen = choose(reduction)
    assert chosen["n.gcal"].source == reduction.folder / "results" / "old" / "final.gcal"
    assert chosen["n.gcal"].reason == "a calibration table, now at results/old/final.gcal"
    assert chosen["n.ms"].reason == "visibilities, referenced by digest"


def test_a_product_that_is_where_it_was_and_an_input_are_looked_for_nowhere_else(reduction: Reduction) -> None:
    (reduction.folder / "n.gcal").rename(reduction.folder / "o.gcal")
    (reduction.folder / "n.gcal").mkdir()
    (reduction.folder / "n.gcal" / "table.dat").write_bytes(b"others")
    assert choose(reduction)["n.gcal"].reason == "changed since it was recorded"


def test_a_link_and_a_name_no_zip_can_hold_are_not_shipped(reduction: Reduction) -> None:
    (reduction.folder / "n.gcal" / "link").symlink_to("/etc/passwd")
    (reduction.folder / "cube.image" / "back\\slash").write_bytes(b"")
    chosen = choose(reduction)
    assert "link" in chosen["n.gcal"].reason
    assert "backslash" in chosen["cube.image"].reason


def test_what_cannot_be_digested_any_more_is_not_shipped(reduction: Reduction) -> None:
    def broken(path: Path, *, tier: Tier = "full") -> Measured:
        raise DigestError(f"{path.name} is damaged.")

    items = choose_payload(reduction.document, reduction.folders, PayloadPolicy(), measure=broken)
    assert {item.decision for item in items} == {"referenced"}
    assert "not readable any more (n.gcal is damaged.)" in {item.reason for item in items}


def test_products_are_measured_even_if_not_shipped_and_inputs_to_be_found_elsewhere_are_not(
    reduction: Reduction,
) -> None:
    measured: list[str] = []

    def watched(path: Path, *, tier: Tier = "full") -> Measured:
        measured.append(path.name)
        return measure(path)

    choose_payload(reduction.document, reduction.folders, PayloadPolicy(), measure=watched)
    assert "n.ms" in measured
    assert "N.fits" not in measured


def test_a_changed_or_missing_measurement_set_is_told_though_it_would_not_be_shipped(reduction: Reduction) -> None:
    (reduction.folder / "n.ms" / "table.f0").write_bytes(b"flagged by hand")
    assert choose(reduction)["n.ms"].reason == "changed since it was recorded"
    shutil.rmtree(reduction.folder / "n.ms")
    assert choose(reduction)["n.ms"].reason == "no longer there"


def test_links_in_visibilities_that_are_not_shipped_do_not_matter(reduction: Reduction) -> None:
    (reduction.folder / "n.ms" / "link").symlink_to("SUBTABLE")
    digest = measure(reduction.folder / "n.ms").content_digest
    assert choose(with_entity(reduction, "n.ms", content_digest=digest))["n.ms"].reason == (
        "visibilities, referenced by digest"
    )


def with_entity(reduction: Reduction, path: str, **facts: Any) -> Reduction:
    """The same reduction with other facts about the states of a path."""
    entities = tuple(replace(e, **facts) if e.path == path else e for e in reduction.document.entities)
    return replace(reduction, document=replace(reduction.document, entities=entities))


def with_local_input(reduction: Reduction, **facts: Any) -> Reduction:
    """The same reduction of a file that only its place on this machine leads to."""
    data = reduction.folder / "data" / "N.fits"
    data.parent.mkdir(exist_ok=True)
    data.write_bytes(b"SIMPLE")
    known = {"locators": (Locator(scheme="file", value=str(data)),), "content_digest": measure(data).content_digest}
    return with_entity(reduction, "data/N.fits", **{**known, **facts})


def test_a_small_input_known_only_here_is_shipped(reduction: Reduction) -> None:
    item = choose(with_local_input(reduction))["data/N.fits"]
    assert (item.decision, item.reason) == ("shipped", "an input known only on this machine")
    assert choose(with_local_input(reduction, locators=()))["data/N.fits"].decision == "shipped"


def test_a_large_input_known_only_here_is_shipped_on_demand(reduction: Reduction) -> None:
    large = with_local_input(reduction, size_bytes=6_000_000)
    item = choose(large)["data/N.fits"]
    assert item.decision == "referenced"
    assert item.reason == "an input known only on this machine: --with-inputs ships it"
    assert choose(large, max_input_bytes=7_000_000)["data/N.fits"].decision == "shipped"
    assert choose(large, ship_inputs=True)["data/N.fits"].reason == "an input, asked for"


@pytest.mark.parametrize("kind", ["CalibrationTable", "Image"])
def test_calibration_and_images_known_only_here_are_shipped_up_to_the_limit_of_products(
    reduction: Reduction, kind: str
) -> None:
    known = with_local_input(reduction, size_bytes=6_000_000, kind=kind)
    assert choose(known)["data/N.fits"].decision == "shipped"
    assert choose(known, max_item_bytes=100)["data/N.fits"].decision == "referenced"


def changed_in_place(reduction: Reduction, **facts: Any) -> Reduction:
    """The same reduction, whose last call changed its input."""
    local = with_local_input(reduction, **facts)
    path = local.folder / "data" / "N.fits"
    path.write_bytes(b"SIMPLE, changed")
    document = local.document
    last = Entity(
        id="20260501-a1b2/e0010",
        path="data/N.fits",
        kind="FITS",
        content_digest=measure(path).content_digest,
        size_bytes=15,
        generated_by=document.activities[-1].id,
        revision_of=document.entities[0].id,
    )
    call = replace(document.activities[-1], generated=(*document.activities[-1].generated, Usage(entity=last.id)))
    document = replace(document, entities=(*document.entities, last), activities=(*document.activities[:-1], call))
    return replace(local, document=document)


@pytest.mark.parametrize("size_bytes", [6, 6_000_000])
def test_an_input_that_the_notebook_changed_asks_for_a_copy(reduction: Reduction, size_bytes: int) -> None:
    changed = changed_in_place(reduction, size_bytes=size_bytes)
    items = choose_payload(changed.document, changed.folders, PayloadPolicy(), measure=measure)
    item = next(item for item in items if item.entity.id == changed.document.entities[0].id)
    assert item.decision == "referenced"
    assert item.reason == "changed in place by this notebook: keep a copy for replays"


def test_an_input_that_something_else_changed_is_told(reduction: Reduction) -> None:
    local = with_local_input(reduction)
    (local.folder / "data" / "N.fits").write_bytes(b"SIMPLE, downloaded again")
    assert choose(local)["data/N.fits"].reason == "changed since it was recorded"


def test_two_inputs_with_the_files_of_one_path_are_shipped_once(reduction: Reduction) -> None:
    local = with_local_input(reduction)
    first, *others = local.document.entities
    again = replace(first, id="20260501-a1b2/e0011", gap=True, revision_of=first.id)
    used = replace(local.document.activities[0], used=(Usage(entity=first.id), Usage(entity=again.id)))
    document = replace(
        local.document, entities=(first, *others, again), activities=(used, *local.document.activities[1:])
    )
    items = choose_payload(document, local.folders, PayloadPolicy(), measure=measure)
    decisions = {item.entity.id: (item.decision, item.reason) for item in items if item.entity.path == first.path}
    assert decisions[first.id][0] == "shipped"
    assert decisions[again.id] == ("referenced", "another state of this path has the same files")


def test_reasons_fit_into_a_table(reduction: Reduction) -> None:
    for item in (*choose(reduction).values(), *choose(with_local_input(reduction, size_bytes=10**9)).values()):
        assert len(item.reason) <= 60


def test_content_that_was_never_digested_is_not_shipped(reduction: Reduction) -> None:
    document = replace(
        reduction.document,
        entities=tuple(replace(e, content_digest=None, note="unreadable") for e in reduction.document.entities),
    )
    assert choose(replace(reduction, document=document))["n.gcal"].reason == "of unknown content (unreadable)"


def shipped(reduction: Reduction, needed: tuple[Entity, ...] = (), **policy: Any) -> set[str]:
    items = choose_payload(
        reduction.document, reduction.folders, PayloadPolicy(**policy), measure=measure, needed=needed
    )
    return {item.entity.path for item in items if item.source is not None}


def test_of_products_only_those_that_were_asked_for_are_shipped(reduction: Reduction) -> None:
    assert shipped(reduction, ship_products=False) == set()
    assert choose(reduction, ship_products=False)["n.gcal"].reason == "a product, which was not asked for"
    # No task can make these again.
    table = next(entity for entity in reduction.document.entities if entity.path == "n.gcal")
    assert shipped(reduction, (table,), ship_products=False) == {"n.gcal"}


@pytest.mark.parametrize(
    ("patterns", "paths"),
    [(("*.gcal", "*.ms"), {"n.gcal", "n.ms"}), (("data/*",), set()), (("?.listobs",), {"n.listobs"})],
)
def test_a_pattern_ships_what_it_fits_of_any_kind_and_size(
    reduction: Reduction, patterns: tuple[str, ...], paths: set[str]
) -> None:
    # The input of these records is not on disk.
    assert shipped(reduction, ship_products=False, patterns=patterns, max_item_bytes=0) == paths
    if paths:
        assert choose(reduction, patterns=patterns)[min(paths)].reason == "asked for"


def test_a_pattern_that_fits_nothing_is_named(reduction: Reduction) -> None:
    with pytest.raises(UsageError, match=r"'\*.png'"):
        choose(reduction, patterns=("*.gcal", "*.png"))


def test_a_limit_for_all_keeps_what_counts_most(reduction: Reduction) -> None:
    whole = {path: item.size_bytes for path, item in choose(reduction).items() if item.source is not None}
    table = next(entity for entity in reduction.document.entities if entity.path == "cube.image")
    first = whole["cube.image"]
    assert shipped(reduction, max_bytes=sum(whole.values())) == set(whole)
    assert shipped(reduction, (table,), max_bytes=first) == {"cube.image"}
    assert shipped(reduction, max_bytes=first - 1, patterns=("n.listobs",)) == set(whole) - {"cube.image"}
    chosen = choose(reduction, max_bytes=10)
    assert {item.decision for item in chosen.values()} == {"referenced"}
    assert chosen["n.gcal"].reason == "beyond --max-bytes (1e-05 MB for all together)"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--include", "minimal", "--include", "all"], "contradict each other"),
        (["--max-bytes", "many"], "'many' is no size"),
    ],
)
def test_a_wrong_choice_is_refused(capsys: pytest.CaptureFixture[str], options: list[str], message: str) -> None:
    assert main(["export", "n.ipynb", "-o", "n.zip", *options]) == 2
    assert message in capsys.readouterr().err
