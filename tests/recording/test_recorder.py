"""The recorder: files that a call read, wrote, changed and removed, declared or not."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from casaprov.digests.measurement import Measurement
from casaprov.errors import DigestError
from casaprov.files import watched_stamps
from casaprov.files.regular import scan
from casaprov.files.stamps import Stamps
from casaprov.journal.document import read_document
from casaprov.recording.path_states import PathStates
from casaprov.records.model import Activity, Tier
from casaprov.tasks.calls import TaskCall, TaskResult
from recorded_files import HereDigester, Notebook


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def notebook(folder: Path) -> Notebook:
    (folder / "in.txt").write_text("raw")
    return Notebook(folder)


def copy(folder: Path, source: str = "in.txt", target: str = "out.txt") -> Callable[[], object]:
    return lambda: (folder / target).write_bytes((folder / source).read_bytes() + b"!") and None


def test_a_call_links_what_it_read_to_what_it_made(notebook: Notebook, folder: Path) -> None:
    activity, entities = notebook.call("copy", copy(folder), source="in.txt", target="out.txt")
    (used,), (generated,) = activity.used, activity.generated
    assert (entities[used.entity].path, used.parameter) == ("in.txt", "source")
    assert (entities[generated.entity].path, generated.parameter) == ("out.txt", "target")
    assert entities[generated.entity].generated_by == activity.id
    assert entities[used.entity].generated_by is None
    assert generated.declared
    assert activity.outcome == "completed"


@pytest.mark.parametrize("how", ["link", "bind mount"])
def test_a_file_is_one_product_whichever_name_its_folder_has(tmp_path: Path, how: str) -> None:
    real, alias = tmp_path / "real", tmp_path / "alias"
    (real / "sub").mkdir(parents=True)
    (real / "in.txt").write_text("raw")
    with ExitStack() as undo:
        if how == "link":
            alias.symlink_to("real")
        else:
            alias.mkdir()
            if subprocess.run(["mount", "--bind", real, alias], check=False, capture_output=True).returncode:
                pytest.skip("only the superuser may mount a folder under a second name")
            undo.callback(lambda: subprocess.run(["umount", alias], check=True))
        notebook = Notebook(real)
        target = f"{alias}/sub/out.txt"
        first, entities = notebook.call(
            "copy", copy(real, target="sub/out.txt"), source=f"{alias}/in.txt", target=target
        )
        assert [entities[usage.entity].path for usage in (*first.used, *first.generated)] == ["in.txt", "sub/out.txt"]
        assert first.aliases == {alias.as_posix(): "."}
        assert first.generated[0].declared
        second, _ = notebook.call("look", lambda: None, file="../alias/sub/out.txt")
        assert second.used[0].entity == first.generated[0].entity
        third, _ = notebook.call("look", lambda: None, file="sub/out.txt")
        assert third.used[0].entity == first.generated[0].entity
        assert third.aliases == {}


@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize("how", ["symbolic", "hard"])
def test_what_is_written_under_one_name_changes_under_the_others(
    notebook: Notebook, folder: Path, how: str, inside: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    def edit() -> None:
        with (folder / "in.txt").open("a") as file:
            file.write("more")

    other = folder / "sub" / "other.txt" if inside else tmp_path_factory.mktemp("elsewhere") / "other.txt"
    other.parent.mkdir(exist_ok=True)
    if how == "hard":
        other.hardlink_to(folder / "in.txt")
    else:
        other.symlink_to(folder / "in.txt")
    notebook.call("look", lambda: None, file=str(other))
    edited, entities = notebook.call("edit", edit, file="in.txt")
    (result,) = edited.generated
    (copied,) = [entity for entity in entities.values() if entity.path != "in.txt"]
    assert (copied.copy_of, copied.generated_by) == (result.entity, None)
    seen, _ = notebook.call("look", lambda: None, file=str(other))
    assert [usage.entity for usage in seen.used] == [copied.id]
    # The other way round.
    notebook.call("look", lambda: None, file="in.txt")
    edited, entities = notebook.call("edit", edit, file=str(other))
    states = {entity.path: entity for entity in entities.values()}
    assert states["in.txt"].copy_of == edited.generated[0].entity


def test_what_one_call_made_is_what_the_next_one_reads(notebook: Notebook, folder: Path) -> None:
    first, _ = notebook.call("copy", copy(folder), source="in.txt", target="out.txt")
    second, _ = notebook.call("copy", copy(folder, "out.txt", "b.txt"), source="out.txt", target="b.txt")
    assert second.used[0].entity == first.generated[0].entity


def test_what_casa_logs_to_at_the_moment_is_a_log_whatever_its_name(folder: Path) -> None:
    (folder / "in.txt").write_text("raw")
    (folder / "logs").mkdir()
    log = folder / "logs" / "eMCP.log"
    notebook = Notebook(folder, log=lambda: log)

    def task() -> None:
        nonlocal log
        for line, name in enumerate(("eMCP.log", "other.log")):
            log = folder / "logs" / name
            log.write_text(f"line {line}")
        (folder / "report.log").write_text("a product")

    activity, entities = notebook.call("look", task, file="in.txt")
    assert [entities[usage.entity].path for usage in activity.generated] == ["report.log"]
    again, _ = notebook.call("look", task, file="in.txt")
    assert again.generated == ()


def test_a_change_in_place_is_a_revision(notebook: Notebook, folder: Path) -> None:
    activity, entities = notebook.call("edit", lambda: (folder / "in.txt").write_text("new") and None, file="in.txt")
    after = entities[activity.generated[0].entity]
    assert after.revision_of == activity.used[0].entity
    assert after.path == "in.txt"


def test_a_change_to_the_same_content_is_none(notebook: Notebook, folder: Path) -> None:
    activity, _ = notebook.call("edit", lambda: (folder / "in.txt").write_text("raw") and None, file="in.txt")
    assert activity.generated == ()


def test_an_overwritten_output_is_a_new_generation(notebook: Notebook, folder: Path) -> None:
    notebook.call("copy", copy(folder), source="in.txt", target="out.txt")
    activity, entities = notebook.call("copy", copy(folder), source="in.txt", target="out.txt")
    assert entities[activity.generated[0].entity].generated_by == activity.id
    assert entities[activity.generated[0].entity].revision_of is None


def test_an_output_that_was_there_and_is_not_touched_is_not_claimed(notebook: Notebook, folder: Path) -> None:
    (folder / "out.txt").write_text("of old")
    activity, _ = notebook.call("copy", lambda: None, source="in.txt", target="out.txt")
    assert activity.generated == ()


def test_an_undeclared_file_is_observed(notebook: Notebook, folder: Path) -> None:
    activity, entities = notebook.call("look", lambda: (folder / "side.txt").write_text("?") and None, file="in.txt")
    assert [entities[u.entity].path for u in activity.generated] == ["side.txt"]
    assert not activity.generated[0].declared


def test_an_undeclared_file_that_was_only_touched_is_not_claimed(notebook: Notebook, folder: Path) -> None:
    notebook.call("copy", copy(folder), source="in.txt", target="out.txt")
    activity, _ = notebook.call("look", copy(folder), file="in.txt")
    assert activity.generated == ()


def test_a_copy_that_a_call_only_touched_is_a_copy(notebook: Notebook, folder: Path) -> None:
    """CASA writes in images that it only reads: the user's copy of one made before a restart, for example."""
    first, _ = notebook.call("copy", copy(folder), source="in.txt", target="out.txt")
    made = (folder / "out.txt").read_bytes()
    (folder / "kept.txt").write_bytes(made)

    def make_again_and_touch() -> None:
        (folder / "kept.txt").write_bytes(made)
        (folder / "out.txt").write_text("made again")

    second, _ = notebook.call("copy", make_again_and_touch, source="in.txt", target="out.txt")
    assert [usage.declared for usage in second.generated] == [True]
    third, entities = notebook.call("look", lambda: None, file="kept.txt")
    assert entities[third.used[0].entity].copy_of == first.generated[0].entity
    assert not entities[third.used[0].entity].gap


def test_what_a_call_wrote_anew_is_its_own_whatever_it_holds(notebook: Notebook, folder: Path) -> None:
    notebook.call("copy", copy(folder), source="in.txt", target="out.txt")
    made = (folder / "out.txt").read_bytes()
    activity, entities = notebook.call("look", lambda: (folder / "new.txt").write_bytes(made) and None, file="in.txt")
    (usage,) = activity.generated
    assert (entities[usage.entity].path, entities[usage.entity].copy_of) == ("new.txt", None)


def test_a_known_file_that_a_call_changed_undeclared_is_a_revision(notebook: Notebook, folder: Path) -> None:
    first, _ = notebook.call("copy", copy(folder), source="in.txt", target="out.txt")
    second, entities = notebook.call("look", lambda: (folder / "out.txt").write_text("other") and None, file="in.txt")
    (usage,) = second.generated
    assert not usage.declared
    assert entities[usage.entity].revision_of == first.generated[0].entity


def test_a_file_with_two_names_is_changed_under_both(notebook: Notebook, folder: Path) -> None:
    notebook.call("copy", copy(folder), source="in.txt", target="out.txt")
    (folder / "other.txt").hardlink_to(folder / "out.txt")
    changing, _ = notebook.call(
        "copy", lambda: (folder / "other.txt").write_text("!") and None, source="in.txt", target="other.txt"
    )
    (usage,) = changing.generated
    assert usage.declared
    looking, entities = notebook.call("look", lambda: None, file="out.txt")
    assert entities[looking.used[0].entity].copy_of == usage.entity


def test_a_copy_that_no_later_call_names_is_in_the_record(notebook: Notebook, folder: Path) -> None:
    notebook.call("copy", copy(folder), source="in.txt", target="out.txt")
    (folder / "other.txt").hardlink_to(folder / "out.txt")
    changing, _ = notebook.call(
        "copy", lambda: (folder / "other.txt").write_text("!") and None, source="in.txt", target="other.txt"
    )
    (last,) = [entity for entity in notebook.document().entities if entity.path == "out.txt" and entity.copy_of]
    assert last.copy_of == changing.generated[0].entity


@pytest.mark.parametrize("task", ["mystery", "look"])
def test_two_known_files_that_hold_the_same_afterwards_are_both_changed(
    task: str, notebook: Notebook, folder: Path
) -> None:
    for name in ("a.txt", "b.txt"):
        notebook.call("copy", copy(folder, target=name), source="in.txt", target=name)
        (folder / name).write_text(name)
        notebook.call("look", lambda: None, file=name)

    def write() -> None:
        for name in ("a.txt", "b.txt"):
            (folder / name).write_text("zeros")

    activity, entities = notebook.call(task, write, file="in.txt")
    assert [entities[usage.entity].path for usage in activity.generated] == ["a.txt", "b.txt"]
    assert all(entities[usage.entity].revision_of for usage in activity.generated)


def test_who_does_not_say_what_it_writes_may_have_written_anything(notebook: Notebook, folder: Path) -> None:
    notebook.call("copy", copy(folder), source="in.txt", target="out.txt")
    (folder / "zeros.txt").write_text("0")
    made = (folder / "out.txt").read_bytes()
    activity, entities = notebook.call("mystery", lambda: (folder / "zeros.txt").write_bytes(made) and None)
    assert [entities[usage.entity].path for usage in activity.generated] == ["zeros.txt"]


def test_what_an_inner_call_left_in_a_known_file_is_left_by_the_outer_one_too(notebook: Notebook, folder: Path) -> None:
    notebook.call("copy", copy(folder), source="in.txt", target="out.txt")

    def again() -> None:
        inner, _ = notebook.call(
            "copy", lambda: (folder / "out.txt").write_text("again") and None, source="in.txt", target="out.txt"
        )
        made.extend(usage.entity for usage in inner.generated)

    made: list[str] = []
    outer, _ = notebook.call("look", again, file="in.txt")
    assert [usage.entity for usage in outer.generated] == made


def test_a_file_inside_a_declared_folder_is_part_of_it(notebook: Notebook, folder: Path) -> None:
    def fill() -> None:
        (folder / "asdm").mkdir()
        (folder / "asdm" / "Main.xml").write_text("rows")

    activity, entities = notebook.call("copy", fill, source="in.txt", target="asdm")
    assert [entities[u.entity].path for u in activity.generated] == ["asdm"]


def test_an_input_that_the_call_changed_is_an_observed_revision(notebook: Notebook, folder: Path) -> None:
    activity, entities = notebook.call("look", lambda: (folder / "in.txt").write_text("other") and None, file="in.txt")
    after = entities[activity.generated[0].entity]
    assert after.revision_of == activity.used[0].entity
    assert not activity.generated[0].declared


def test_a_removed_file_is_recorded(notebook: Notebook, folder: Path) -> None:
    activity, _ = notebook.call("remove", (folder / "in.txt").unlink, file="in.txt")
    assert activity.deleted == ("in.txt",)


def test_a_change_between_two_calls_is_a_gap(notebook: Notebook, folder: Path) -> None:
    first, _ = notebook.call("copy", copy(folder), source="in.txt", target="out.txt")
    (folder / "out.txt").write_text("edited by hand")
    second, entities = notebook.call("look", lambda: None, file="out.txt")
    entity = entities[second.used[0].entity]
    assert entity.gap
    assert entity.revision_of == first.generated[0].entity


def test_removed_by_hand_and_made_again_is_no_gap(notebook: Notebook, folder: Path) -> None:
    notebook.call("copy", copy(folder), source="in.txt", target="out.txt")
    (folder / "out.txt").unlink()
    second, entities = notebook.call("copy", copy(folder), source="in.txt", target="out.txt")
    assert not entities[second.generated[0].entity].gap


def test_a_failed_call_keeps_its_error_and_what_it_left(notebook: Notebook, folder: Path) -> None:
    activity, entities = notebook.call(
        "copy", copy(folder), error=ValueError("no solutions"), source="in.txt", target="out.txt"
    )
    assert activity.outcome == "failed"
    assert activity.failure is not None
    assert (activity.failure.type, activity.failure.message) == ("ValueError", "no solutions")
    assert entities[activity.generated[0].entity].path == "out.txt"


def test_an_interrupted_call_says_so(notebook: Notebook) -> None:
    activity, _ = notebook.call("look", lambda: None, error=KeyboardInterrupt(), file="in.txt")
    assert activity.outcome == "interrupted"


def test_a_task_without_a_spec_is_recorded_by_what_the_folder_shows(notebook: Notebook, folder: Path) -> None:
    activity, entities = notebook.call("unheard_of", copy(folder), anything=["in.txt", 3])
    assert not activity.spec_known
    assert [entities[u.entity].path for u in activity.used] == ["in.txt"]
    assert [entities[u.entity].path for u in activity.generated] == ["out.txt"]


def test_calls_inside_a_call_are_its_children(notebook: Notebook, folder: Path) -> None:
    inner: list[Activity] = []

    def outer() -> None:
        inner.append(notebook.call("copy", copy(folder), source="in.txt", target="out.txt")[0])

    activity, _ = notebook.call("look", outer, file="in.txt")
    assert inner[0].parent == activity.id
    assert activity.parent is None
    assert activity.generated[0].entity == inner[0].generated[0].entity


def test_the_journal_says_the_same(notebook: Notebook, folder: Path) -> None:
    first, _ = notebook.call("copy", copy(folder), source="in.txt", target="out.txt")
    second, _ = notebook.call("edit", copy(folder), file="out.txt")
    document = read_document(notebook.journal.folder, "n")
    assert document.activities == (first, second)
    named = {u.entity for a in document.activities for u in (*a.used, *a.generated)}
    assert named == {entity.id for entity in document.entities}


def test_a_kernel_that_dies_leaves_the_beginning(notebook: Notebook, folder: Path) -> None:
    notebook.recorder.begin(
        TaskCall(task="edit", package="casatasks", parameters={"file": "in.txt"}, given=("file",), cwd=folder)
    )
    (activity,) = read_document(notebook.journal.folder, "n").activities
    assert activity.outcome == "unfinished"
    assert activity.parameters == {"file": "in.txt"}


def test_an_unreadable_input_makes_the_record_incomplete_not_the_call_fail(notebook: Notebook, folder: Path) -> None:
    class Refusing(HereDigester):
        def submit(self, path: Path, *, tier: Tier = "full", stamps: Stamps | None = None) -> Future[Measurement]:
            result: Future[Measurement] = Future()
            result.set_exception(DigestError("the disk is broken"))
            return result

    notebook.recorder._digester = Refusing()
    activity, entities = notebook.call("look", lambda: 42, file="in.txt")
    assert activity.outcome == "completed"
    assert activity.returned == 42
    assert "the disk is broken" in activity.problems[0]
    assert entities[activity.used[0].entity].content_digest is None


def test_the_digester_rests_before_a_call_runs_where_open_files_are_few(
    notebook: Notebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Resting(HereDigester):
        rests = 0

        def rest(self) -> None:
            self.rests += 1

    digester = notebook.recorder._digester = Resting()
    seen = []
    for scarce in (False, True):
        monkeypatch.setattr("casaprov.recorder.are_scarce", lambda scarce=scarce: scarce)
        notebook.call("look", lambda: seen.append(digester.rests), file="in.txt")
    assert seen == [0, 1]


def test_a_hidden_file_that_was_there_before_is_an_input_within_another_call(notebook: Notebook, folder: Path) -> None:
    (folder / ".casa" / "data").mkdir(parents=True)
    (folder / ".casa" / "data" / "model.txt").write_text("a model")
    time.sleep(0.05)
    call = TaskCall(task="reduce", package="__main__", parameters={}, given=(), cwd=folder)
    outer = notebook.recorder.begin(call)
    _, entities = notebook.call("look", lambda: None, file=".casa/data/model.txt")
    activity, _ = notebook.recorder.end(outer, TaskResult())
    assert [entity.generated_by for entity in entities.values()] == [None]
    assert activity.generated == ()


@pytest.mark.parametrize("trouble", [KeyboardInterrupt, RuntimeError])
def test_how_a_call_ended_is_recorded_even_if_what_it_left_is_not(
    notebook: Notebook, folder: Path, trouble: type[BaseException]
) -> None:
    class Interrupted(HereDigester):
        def submit(self, path: Path, *, tier: Tier = "full", stamps: Stamps | None = None) -> Future[Measurement]:
            if path.name == "out.txt":
                raise trouble("now")
            return super().submit(path)

    notebook.recorder._digester = Interrupted()
    with pytest.raises(trouble):
        notebook.call("copy", copy(folder), source="in.txt", target="out.txt")
    notebook.call("look", lambda: None, file="in.txt")
    first, second = read_document(notebook.journal.folder, "n").activities
    assert (first.outcome, second.outcome) == ("completed", "completed")
    assert "What it read and wrote was not recorded" in first.problems[0]
    assert trouble.__name__ in first.problems[0]
    assert second.parent is None


def test_a_journal_that_cannot_be_written_is_a_problem_of_the_record(notebook: Notebook, folder: Path) -> None:
    (folder / ".casaprov").write_text("in the way")
    activity, _ = notebook.call("look", lambda: None, file="in.txt")
    assert "cannot be written" in activity.problems[0]


def test_what_lies_outside_the_folder_keeps_its_whole_path(notebook: Notebook, tmp_path_factory: Any) -> None:
    outside = tmp_path_factory.mktemp("elsewhere") / "far.txt"
    outside.write_text("far")
    activity, entities = notebook.call("look", lambda: None, file=str(outside))
    assert entities[activity.used[0].entity].path == outside.as_posix()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who wrote where")
def test_a_product_that_nobody_wrote_in_is_not_looked_at_for_each_call(
    notebook: Notebook, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    products = [folder / name for name in ("x.ms.flagversions", "y.ms.flagversions")]
    for product in products:
        product.mkdir()
        (product / "FLAG_VERSION_LIST").write_text("one")
    notebook.call("copy", copy(folder), source="in.txt", target="out.txt")
    listed: list[str] = []

    def noting(path: str) -> list[os.DirEntry[str]]:
        listed.append(path)
        return scan(path)

    monkeypatch.setattr(watched_stamps, "scan", noting)
    notebook.call("look", lambda: None, file="in.txt")
    assert listed == []
    written = products[1] / "FLAG_VERSION_LIST"
    activity, entities = notebook.call("look", lambda: written.write_text("two") and None, file="in.txt")
    assert set(listed) == {str(products[1])}
    assert [entities[usage.entity].path for usage in activity.generated] == ["y.ms.flagversions"]


def test_a_link_that_leads_nowhere_is_not_gone(notebook: Notebook, folder: Path) -> None:
    (folder / "link").symlink_to("nowhere")
    with pytest.MonkeyPatch.context() as patch:
        forgotten: list[Path] = []
        patch.setattr(PathStates, "forget", lambda _self, path: forgotten.append(path))
        notebook.call("look", lambda: None, file="in.txt")
        assert forgotten == []
        notebook.call("look", (folder / "link").unlink, file="in.txt")
        assert forgotten == [folder / "link"]
        (folder / "link").symlink_to("there")
        (folder / "there").write_text("x")
        notebook.call("look", (folder / "there").unlink, file="in.txt")
    assert forgotten == [folder / name for name in ("link", "there")]  # a link is not followed
