"""Keys: what makes two calls one, and what does not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casaprov.digests.measurement import Measurement
from casaprov.hashing import Digest, digest_bytes
from casaprov.recompute.action_key import KeyedCall, action_key, columns_of, content_state, key_facts, name_of
from casaprov.tasks.calls import TaskCall
from casaprov.tasks.specs import load_specs


def keyed(folder: Path, task: str = "gaincal", cwd: Path | None = None, **parameters: Any) -> KeyedCall:
    """A call in a folder, with the files that it finds there."""
    spec, cwd = load_specs()[task], cwd or folder
    call = TaskCall(task=task, package=spec.package, parameters=parameters, given=(), cwd=cwd)
    uses, outputs = spec.inputs(parameters, cwd), spec.outputs(parameters, cwd)
    return KeyedCall(call=call, spec=spec, base=folder, uses=uses, outputs=outputs, environment={"threads": 2})


def key_of(call: KeyedCall) -> Digest:
    """The key of a call, where the bytes of files are their contents."""
    paths = {use.path for use in (*call.uses, *call.stateful_outputs)}
    facts = key_facts(call, {path: digest_bytes(path.read_bytes()) for path in paths})
    assert facts is not None
    return action_key(facts)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "w.ms").write_bytes(b"visibilities")
    (tmp_path / "sub").mkdir()
    return tmp_path


def test_the_way_in_which_a_path_is_written_makes_no_difference(folder: Path) -> None:
    key = key_of(keyed(folder, vis="w.ms", caltable="g"))
    for vis in ("./w.ms", "w.ms/", str(folder / "w.ms"), "sub/../w.ms"):
        assert key_of(keyed(folder, vis=vis, caltable="g")) == key


def test_another_folder_with_the_same_files_makes_the_same_key(folder: Path, tmp_path_factory: Any) -> None:
    other = tmp_path_factory.mktemp("other")
    (other / "w.ms").write_bytes(b"visibilities")
    assert key_of(keyed(folder, vis="w.ms", caltable="g")) == key_of(keyed(other, vis="w.ms", caltable="g"))


_SAME = [
    ("gaincal", "interp", ["", [], [""], "linear", ["linear"], ["", "linear"]], [["nearest"], ["linear", "nearest"]]),
    ("applycal", "interp", ["", ["linear", ""]], ["linearPD", [["linear"]]]),
    ("cvel", "spw", ["", "*"], [[""], ["*"], "0", []]),
    ("tclean", "imsize", [64, [64], [64, 64]], [[64, 65], 65, [64, 64, 64], "64", 64.0, [64.0], True]),
]


@pytest.mark.parametrize(("task", "parameter", "same", "others"), _SAME)
def test_values_that_mean_the_same_make_one_key_and_all_others_another(
    folder: Path, task: str, parameter: str, same: list[Any], others: list[Any]
) -> None:
    keys = {key_of(keyed(folder, task, vis="w.ms", **{parameter: value})) for value in same}
    assert len(keys) == 1
    assert keys.isdisjoint(key_of(keyed(folder, task, vis="w.ms", **{parameter: value})) for value in others)


@pytest.mark.parametrize(
    "change",
    [
        lambda call: replace(call, environment={"threads": 1}),
        lambda call: replace(call, source="sha256:0"),
        lambda call: replace(call, call=replace(call.call, package="mypackage")),
        lambda call: replace(call, spec=replace(call.spec, definition={**call.spec.definition, "category": "x"})),
        lambda call: replace(call, call=replace(call.call, parameters={**call.call.parameters, "solint": "10s"})),
        lambda call: replace(call, call=replace(call.call, parameters={**call.call.parameters, "caltable": "h"})),
        lambda call: replace(call, call=replace(call.call, parameters={**call.call.parameters, "minsnr": 3})),
        lambda call: replace(call, call=replace(call.call, parameters={**call.call.parameters, "minsnr": "3.0"})),
    ],
)
def test_all_that_results_depend_on_is_in_the_key(folder: Path, change: Any) -> None:
    call = keyed(folder, vis="w.ms", caltable="g", minsnr=3.0)
    assert key_of(change(call)) != key_of(call)


def test_contents_are_in_the_key_and_so_are_names(folder: Path) -> None:
    key = key_of(keyed(folder, vis="w.ms", caltable="g"))
    (folder / "v.ms").write_bytes(b"visibilities")
    assert key_of(keyed(folder, vis="v.ms", caltable="g")) != key
    (folder / "w.ms").write_bytes(b"other visibilities")
    assert key_of(keyed(folder, vis="w.ms", caltable="g")) != key


def test_the_folder_of_a_call_is_in_the_key(folder: Path) -> None:
    above = keyed(folder, vis=str(folder / "w.ms"), caltable=str(folder / "g"))
    below = keyed(folder, cwd=folder / "sub", vis="../w.ms", caltable="../g")
    assert key_of(above) != key_of(below)


def test_an_output_that_is_there_counts_unless_the_task_replaces_it(folder: Path) -> None:
    split: dict[str, Any] = {"vis": "w.ms", "outputvis": "s.ms"}
    solve: dict[str, Any] = {"vis": "w.ms", "caltable": "g"}
    before = key_of(keyed(folder, "split", **split)), key_of(keyed(folder, "gaincal", **solve))
    (folder / "s.ms").write_bytes(b"an earlier split")
    (folder / "g").write_bytes(b"an earlier solution")
    assert key_of(keyed(folder, "split", **split)) != before[0]
    assert key_of(keyed(folder, "gaincal", **solve)) == before[1]
    assert key_of(keyed(folder, "gaincal", append=True, **solve)) != before[1]
    (folder / "g").unlink()
    (folder / "g").mkdir()  # a folder that is no table: nobody knows what the task does with it
    assert [use.path.name for use in keyed(folder, "gaincal", **solve).stateful_outputs] == ["g"]


def test_a_name_is_no_plain_text(folder: Path) -> None:
    # 'maybe' parameters: the same text is a path where such a file exists.
    text = keyed(folder, "tclean", vis="w.ms", imagename="i", mask="m")
    (folder / "m").write_bytes(b"a mask")
    assert key_of(text) != key_of(keyed(folder, "tclean", vis="w.ms", imagename="i", mask="m"))


def test_whole_paths_count_where_a_product_carries_them(folder: Path, tmp_path_factory: Any) -> None:
    other = tmp_path_factory.mktemp("other")
    (other / "w.ms").write_bytes(b"visibilities")
    lists = [keyed(place, "listobs", vis="w.ms", listfile="l.txt") for place in (folder, other)]
    shown = [keyed(place, "listobs", vis="w.ms", listfile="") for place in (folder, other)]
    assert key_of(lists[0]) != key_of(lists[1])
    assert key_of(shown[0]) == key_of(shown[1])


def test_a_virtual_model_that_is_an_image_counts_with_its_whole_path(folder: Path, tmp_path_factory: Any) -> None:
    keys = []
    for place in (folder / "a", tmp_path_factory.mktemp("other")):
        (place / "w.ms" / "SOURCE" / "FT_MODEL1_1").mkdir(parents=True)
        call = keyed(place, "gaincal", vis="w.ms", caltable="g")
        facts = key_facts(call, {use.path: "sha256:0" for use in call.uses})
        assert facts is not None
        keys.append(action_key(facts))
    assert keys[0] != keys[1]


def test_a_value_without_exact_form_has_no_key(folder: Path) -> None:
    call = keyed(folder, vis="w.ms", caltable="g", solint=object())
    assert key_facts(call, dict.fromkeys([use.path for use in call.uses], "sha256:0")) is None


def test_a_file_outside_is_named_by_its_whole_path(folder: Path) -> None:
    assert name_of(folder / "sub" / "x", folder) == "sub/x"
    assert name_of(Path("/elsewhere/x"), folder) == "/elsewhere/x"


# -- columns -----------------------------------------------------------------------


def table(**columns: str) -> Measurement:
    tree = {
        "table": {
            "type": "Measurement Set",
            "subtype": "",
            "rows": 5,
            "keywords": digest_bytes(b"keywords"),
            "columns": {name: {"digest": digest_bytes(v.encode()), "type": "float"} for name, v in columns.items()},
            "tables": {"FIELD": {"digest": digest_bytes(b"field")}, "GONE": None},
        }
    }
    content = digest_bytes(repr(sorted(columns.items())).encode())
    return Measurement(kind="MeasurementSet", content_digest=content, size_bytes=1, tree=tree)


def test_values_of_unread_columns_do_not_count_and_their_names_do() -> None:
    unread = frozenset({"CORRECTED_DATA"})
    before = content_state(table(DATA="d", FLAG="f", CORRECTED_DATA="c"), unread)
    assert content_state(table(DATA="d", FLAG="f", CORRECTED_DATA="other"), unread) == before
    assert content_state(table(DATA="e", FLAG="f", CORRECTED_DATA="c"), unread) != before
    assert content_state(table(DATA="d", FLAG="g", CORRECTED_DATA="c"), unread) != before
    assert content_state(table(DATA="d", FLAG="f"), unread) != before


@given(st.sets(st.sampled_from(["DATA", "FLAG", "MODEL_DATA"])))
def test_a_narrowed_state_is_never_that_of_a_whole_table(unread: set[str]) -> None:
    measured = table(DATA="d", FLAG="f")
    state = content_state(measured, frozenset(unread))
    assert (state == measured.content_digest) == unread.isdisjoint(columns_of(measured))


def test_the_columns_of_a_data_column_are_read_only_if_it_is_there() -> None:
    reuse = load_specs()["tclean"].reuse
    with_corrected = frozenset({"DATA", "CORRECTED_DATA", "MODEL_DATA", "FLAG"})
    corrected = {"datacolumn": "corrected"}
    assert reuse.unread_columns("vis", corrected, with_corrected) == {"DATA", "MODEL_DATA"}
    # Without the column the task takes DATA in its place.
    assert reuse.unread_columns("vis", corrected, with_corrected - {"CORRECTED_DATA"}) == set()
    assert reuse.unread_columns("vis", {"datacolumn": "data"}, with_corrected) == {"CORRECTED_DATA", "MODEL_DATA"}
    assert load_specs()["flagdata"].reuse.unread_columns("vis", {}, with_corrected) == set()


def test_a_file_counts_with_all_its_bytes() -> None:
    # The content digest of a FITS file leaves out cards that a task may copy into its product.
    fits = Measurement(
        kind="FITS", content_digest=digest_bytes(b"content"), size_bytes=1, byte_digest=digest_bytes(b"bytes")
    )
    assert content_state(fits) == digest_bytes(b"bytes")


def test_visibilities_in_the_place_of_a_calibration_table_count(folder: Path) -> None:
    for kind, counts in (("Calibration", False), ("Measurement Set", True)):
        (folder / "g").mkdir(exist_ok=True)
        (folder / "g" / "table.dat").write_bytes(bytes(4))
        (folder / "g" / "table.info").write_text(f"Type = {kind}\n")
        found = keyed(folder, "gaincal", vis="w.ms", caltable="g").stateful_outputs
        assert bool(found) == counts, kind
