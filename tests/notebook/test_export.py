"""`casaprov export` without CASA: refusals, left files, and the folders of sessions."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from casaprov.cli.commands import main
from casaprov.crate import Packed
from casaprov.crates.payload import PayloadPolicy
from casaprov.digests.measurement import Measurement
from casaprov.errors import DigestError, JournalError, UsageError
from casaprov.files.stamps import stamp
from casaprov.journal.folder import journal_folder, tree_path
from casaprov.journal.writer import Journal
from casaprov.lineage.graph import Lineage
from casaprov.notebook.bundle import BUNDLE_MIME
from casaprov.notebook.export import export_notebook, find_journal, record_of
from casaprov.recording.late_states import without_lost_remains
from casaprov.records.consistency import record_issues
from casaprov.records.model import UNDIGESTED, Outcome, Tier, Usage
from casaprov.records.serialise import unstructure
from records import Story
from sample_records import Reduction, journaled, make_reduction, measure, tree_of


@pytest.fixture
def sample(tmp_path: Path) -> Reduction:
    return journaled(tmp_path / "nb")


def export(notebook: Path, out: Path, measured: Any = measure) -> Packed:
    return export_notebook(notebook, out, policy=PayloadPolicy(), measure=measured)


def shipped(packed: Packed) -> dict[str, Path]:
    return {item.entity.path: item.source for item in packed.items if item.source is not None}


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["cube.image/../my reduction.ipynb", "data/N.fits", "linked.zip", "folder", "pipe"])
def test_what_is_no_crate_is_refused_before_hours_of_measuring(sample: Reduction, name: str) -> None:
    (sample.folder / "folder").mkdir()
    (sample.folder / "linked.zip").symlink_to(sample.notebook)
    os.mkfifo(sample.folder / "pipe")
    before = contents(sample.folder)

    def never(path: Path) -> Any:
        pytest.fail(f"{path} was measured")

    with pytest.raises(UsageError) as refused:
        export(sample.notebook, sample.folder / name, never)
    assert "--output" in refused.value.hint
    assert contents(sample.folder) == before


def test_each_session_has_a_folder_of_its_own(sample: Reduction, tmp_path: Path) -> None:
    elsewhere = sample.folder / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "plot.png").write_bytes(b"plot")
    old = sample.document
    session = replace(
        old.sessions[0], id="20260502-c3d4", started_at="2026-05-02T10:00:00+00:00", folder=str(elsewhere)
    )
    made = replace(
        next(e for e in old.entities if e.path == "n.listobs"),
        id="20260502-c3d4/e0001",
        path="plot.png",
        generated_by="20260502-c3d4/0001",
        content_digest=measure(elsewhere / "plot.png").content_digest,
    )
    gcal = next(e for e in old.entities if e.path == "n.gcal")
    call = replace(
        old.activities[0],
        id="20260502-c3d4/0001",
        session=session.id,
        used=(Usage(entity=gcal.id),),
        generated=(Usage(entity=made.id),),
        log=None,
    )
    Journal(sample.journal, session).end(call, [made])
    packed = export(sample.notebook, tmp_path / "n.zip")
    assert shipped(packed)["plot.png"] == elsewhere / "plot.png"
    assert shipped(packed)["n.gcal"] == sample.folder / "n.gcal"


def stamped(sample: Reduction, path: str) -> None:
    """Change the record as if a product was only stamped, as if its session had ended before it was digested."""
    made = next(entity for entity in sample.document.entities if entity.path == path)
    only = unstructure(replace(made, content_digest=None, stamp=stamp(sample.folder / path).digest))
    (journal,) = sample.journal.glob("*.jsonl")
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    for line in lines:
        if line["type"] == "end" and line["activity"]["id"] == made.generated_by:
            line["activity"]["problems"] = ["The disk was slow.", UNDIGESTED]
        line["entities"] = [only if entity["id"] == made.id else entity for entity in line.get("entities", ())]
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines))


def whole(path: Path, *, tier: Tier = "full") -> Measurement:
    digest = measure(path, tier=tier).content_digest
    return Measurement(kind="CalibrationTable", content_digest=digest, size_bytes=1, tree=tree_of(path, "Table"))


@pytest.mark.parametrize("touched", [False, True])
def test_what_a_session_had_no_time_to_digest_is_digested_now(sample: Reduction, tmp_path: Path, touched: bool) -> None:
    stamped(sample, "n.gcal")
    if touched:
        (sample.folder / "n.gcal" / "table.f0").write_bytes(b"other")
    packed = export(sample.notebook, tmp_path / "n.zip", whole)
    with_digest = measure(sample.folder / "n.gcal").content_digest
    assert tree_path(sample.journal, with_digest).exists() != touched
    (item,) = (item for item in packed.items if item.entity.path == "n.gcal")
    assert item.entity.content_digest == (None if touched else with_digest)
    assert (item.source is None) == touched
    assert ("digested later" in item.entity.note) != touched
    with zipfile.ZipFile(packed.path) as archive:
        document = json.loads(archive.read("records/document.json"))
    (problems,) = (call["problems"] for call in document["activities"] if "problems" in call)
    missing = UNDIGESTED if touched else "It was digested later: what it only read may be missing."
    assert problems == ["The disk was slow.", missing]


def test_what_cannot_be_digested_even_now_is_only_named(sample: Reduction, tmp_path: Path) -> None:
    stamped(sample, "n.gcal")

    def refusing(path: Path, *, tier: Tier = "full") -> Measurement:
        if path.name == "n.gcal":
            raise DigestError("n.gcal is damaged.")
        return whole(path, tier=tier)

    packed = export(sample.notebook, tmp_path / "n.zip", refusing)
    (item,) = (item for item in packed.items if item.entity.path == "n.gcal")
    assert (item.entity.content_digest, item.decision) == (None, "referenced")


def test_what_a_later_session_digested_is_known_though_it_changed_since(sample: Reduction, tmp_path: Path) -> None:
    stamped(sample, "n.gcal")
    made = next(entity for entity in sample.document.entities if entity.path == "n.gcal")
    session = replace(sample.document.sessions[0], id="20260502-c3d4", started_at="2026-05-02T10:00:00+00:00")
    again = replace(made, id=f"{session.id}/e0001", generated_by=None, copy_of=made.id)
    changed = replace(
        again, id=f"{session.id}/e0002", generated_by=f"{session.id}/0001", copy_of=None, revision_of=again.id
    )
    looked = replace(
        sample.document.activities[-1],
        id=f"{session.id}/0001",
        session=session.id,
        used=(Usage(entity=again.id),),
        generated=(Usage(entity=changed.id),),
        log=None,
    )
    Journal(sample.journal, session).end(looked, [again, changed])
    (sample.folder / "n.gcal" / "table.f0").write_bytes(b"what the second session made of it")
    packed = export(sample.notebook, tmp_path / "n.zip", whole)
    with zipfile.ZipFile(packed.path) as archive:
        document = json.loads(archive.read("records/document.json"))
    (note,) = (entity["note"] for entity in document["entities"] if entity["id"] == made.id)
    assert note.startswith("It was digested later")
    states = {entity["id"]: entity["content_digest"] for entity in document["entities"]}
    assert states[made.id] == states[again.id] == made.content_digest


def test_an_empty_journal_is_in_nobodys_way(sample: Reduction, caplog: pytest.LogCaptureFixture) -> None:
    calls = len(record_of(sample.notebook).activities)
    (sample.journal / "20260101T000000-000000.jsonl").touch()
    assert len(record_of(sample.notebook).activities) == calls
    assert caplog.records == []


def test_empty_journals_alone_are_no_record(tmp_path: Path) -> None:
    sample = make_reduction(tmp_path / "nb")
    (sample.journal / "20260101T000000-000000.jsonl").touch()
    with pytest.raises(JournalError, match="no record"):
        find_journal(sample.notebook)


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "-1"])
def test_a_limit_that_is_none_is_refused(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "n.ipynb", "-o", "n.zip", f"--max-size={value}"]) == 2
    assert "--max-size" in capsys.readouterr().err


def test_an_interrupted_export_says_what_is_left(
    sample: Reduction, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_given: Any, **_options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("casaprov.notebook.export.read_document", interrupt)
    out = sample.folder / "n.zip"
    assert main(["export", str(sample.notebook), "-o", str(out)]) == 130
    assert capsys.readouterr().err.strip() == f"Interrupted. The crate {out} was not written."
    assert not out.exists()


def mention(notebook: Path, session: str) -> None:
    data = {BUNDLE_MIME: {"session": session, "calls": []}}
    output = {"output_type": "display_data", "metadata": {}, "data": data}
    cell = {"cell_type": "code", "id": "a", "metadata": {}, "source": "", "outputs": [output], "execution_count": 1}
    notebook.write_text(json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))


def test_a_renamed_notebook_takes_its_record_along(sample: Reduction) -> None:
    calls = len(record_of(sample.notebook).activities)
    mention(sample.notebook, sample.document.sessions[0].id)
    renamed = sample.notebook.rename(sample.folder / "renamed.ipynb")
    before = contents(sample.journal)
    assert find_journal(renamed) == journal_folder(renamed)
    assert len(record_of(renamed).activities) == calls
    assert {p.relative_to(sample.journal): data for p, data in before.items()} == {
        p.relative_to(journal_folder(renamed)): data for p, data in contents(journal_folder(renamed)).items()
    }
    # its kernel goes on with the old name
    last = replace(sample.document.activities[1], id=f"{sample.document.sessions[0].id}/0009", generated=(), log=None)
    Journal(sample.journal, sample.document.sessions[0]).end(last)
    assert len(record_of(renamed).activities) == calls + 1
    assert contents(sample.journal).keys() == before.keys()
    shutil.rmtree(sample.journal)
    assert len(record_of(renamed).activities) == calls + 1
    assert export(renamed, sample.folder / "n.zip").items


def test_the_sessions_that_a_session_builds_on_come_along(sample: Reduction) -> None:
    old = sample.document
    session = replace(old.sessions[0], id="20260601-ffff", started_at="2026-06-01T10:00:00+00:00")
    call = replace(old.activities[1], id="20260601-ffff/0001", session=session.id, generated=(), log=None)
    used = {usage.entity for usage in call.used}
    Journal(sample.journal, session).end(call, [entity for entity in old.entities if entity.id in used])
    renamed = sample.folder / "renamed.ipynb"
    mention(renamed, session.id)
    assert [s.id for s in record_of(renamed).sessions] == [old.sessions[0].id, session.id]


def test_a_record_that_cannot_be_taken_along_is_read_where_it_is(sample: Reduction) -> None:
    renamed = sample.folder / "renamed.ipynb"
    mention(renamed, sample.document.sessions[0].id)
    journal_folder(renamed).touch()  # in the way of the folder
    assert find_journal(renamed) == sample.journal


@pytest.mark.parametrize("session", ["../my reduction/20260501-a1b2", "/etc/passwd", ".", "", "\0", "x" * 5000])
def test_a_notebook_from_outside_names_no_file_by_its_sessions(sample: Reduction, session: str) -> None:
    other = sample.folder / "other.ipynb"
    mention(other, session)
    with pytest.raises(JournalError, match="no record"):
        find_journal(other)


@pytest.mark.parametrize("outcome", ["interrupted", "unfinished", "completed"])
def test_removed_remains_of_an_interrupted_call_are_left_out(tmp_path: Path, outcome: Outcome) -> None:
    story = Story()
    story.call("tclean", used=["a.ms"], generated=["gone.psf", "kept.psf", "used.psf"], outcome=outcome)
    story.call("imstat", used=["used.psf"])
    (tmp_path / "kept.psf").mkdir()
    document = without_lost_remains(story.document, {story.session.id: tmp_path})
    left = [Lineage(document).entities[usage.entity].path for usage in document.activities[0].generated]
    gone = ["gone.psf"] if outcome == "completed" else []
    assert left == [*gone, "kept.psf", "used.psf"]
    assert record_issues(document) == ()
    assert len(document.entities) == 4 - (not gone)
