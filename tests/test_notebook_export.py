"""`casaprov export`: without CASA: what is refused, what is left, and whose folder is whose."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from casaprov.cli import main
from casaprov.crate import Packed
from casaprov.errors import JournalError, UsageError
from casaprov.journal import Journal
from casaprov.model import Usage
from casaprov.notebook.export import export_notebook, find_journal, record_of
from casaprov.payload import PayloadPolicy
from sample_records import Reduction, make_reduction, measure


def journaled(folder: Path) -> Reduction:
    """A reduction whose record is in its journal, as a kernel writes it."""
    reduction = make_reduction(folder)
    journal = Journal(reduction.journal, reduction.document.sessions[0])
    entities = {entity.id: entity for entity in reduction.document.entities}
    for activity in reduction.document.activities:
        journal.begin(replace(activity, outcome="unfinished", ended_at=None, used=(), generated=(), failure=None))
        journal.end(activity, [entities[usage.entity] for usage in (*activity.used, *activity.generated)])
    return reduction


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
