"""A record from logs names what calls read and made, in their order, and says what is not known."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from casaprov.casalogs.imported_record import import_logs
from casaprov.cli.commands import main
from casaprov.digests.measurement import Measurement
from casaprov.hashing import digest_bytes
from casaprov.journal.document import read_document
from casaprov.journal.folder import journal_folder
from casaprov.notebook.export import record_of
from casaprov.records.consistency import record_issues
from casaprov.records.model import Document, Tier
from checkout import ROOT
from reductions import Reduction

LOGS = ROOT / "tests" / "fixtures" / "logs"


def measure(path: Path, *, tier: Tier = "full") -> Measurement:
    """Measure a plain file."""
    digest = digest_bytes(path.read_bytes())
    size = path.stat().st_size
    return Measurement(kind="File", content_digest=digest, byte_digest=digest, size_bytes=size, tier=tier)


def imported(folder: Path, *versions: str) -> Document:
    """Return the record of logs, imported into a folder."""
    logs = [shutil.copy(LOGS / f"casa_{version}.log", folder / f"casa-{version}.log") for version in versions]
    journal = journal_folder(folder / "old.ipynb")
    import_logs([Path(log) for log in logs], folder, journal, measure)
    document = read_document(journal, "old.ipynb")
    assert record_issues(document) == ()
    return document


def files(document: Document) -> list[tuple[str, list[str], list[str]]]:
    """Return the task of each call, what it used and what it made."""
    paths = {entity.id: entity.path for entity in document.entities}
    return [
        (call.task, sorted(paths[u.entity] for u in call.used), sorted(paths[u.entity] for u in call.generated))
        for call in document.activities
    ]


def test_files_are_followed_through_the_calls(tmp_path: Path) -> None:
    (tmp_path / "img").mkdir()
    (tmp_path / "img" / "n.psf").write_bytes(b"still there")
    document = imported(tmp_path, "5.6")
    assert files(document) == [
        ("gaincal", ["n.ms"], ["n.gcal"]),
        ("applycal", ["n.gcal", "n.ms"], ["n.ms"]),
        ("tclean", ["n.ms"], ["img/n.image", "img/n.pb", "img/n.psf"]),
        ("impbcor", ["img/n.image", "img/n.pb"], ["img/n.pbcor"]),
        ("rmtables", [], []),
    ]
    assert document.activities[-1].deleted == ("n.gcal",)
    states = {entity.id: entity for entity in document.entities}
    before, after = (states[u.entity] for u in (document.activities[0].used[0], document.activities[1].generated[0]))
    assert (after.revision_of, after.generated_by) == (before.id, document.activities[1].id)
    psf = next(entity for entity in document.entities if entity.path == "img/n.psf")
    assert psf.content_digest is not None
    assert "after the calls" in psf.note
    assert "after the last call" in psf.note
    assert before.content_digest is None
    assert "not known" in before.note
    assert [session.environment.casatasks for session in document.sessions] == ["5.6.1-8", "5.6.2-3"]
    assert {session.log for session in document.sessions} == {"casa-5.6.log"}


def test_tasks_without_a_table_and_failed_calls_are_recorded_as_far_as_known(tmp_path: Path) -> None:
    document = imported(tmp_path, "4.7")
    assert files(document) == [
        ("importfitsidi", ["n14c3.IDI1", "n14c3.IDI2"], ["n14c3.ms"]),
        ("flagdata", ["n14c3.ms"], ["n14c3.ms"]),
        ("clean", ["n14c3.ms"], ["first.image"]),
        ("gaincal", ["gone.ms"], []),
        ("exportfits", ["first.image"], ["first.fits"]),
        ("imstat", ["first.image"], []),
    ]
    clean, failed = document.activities[2:4]
    assert (clean.spec_known, clean.package) == (False, "casa")
    assert failed.failure is not None
    assert failed.problems


def test_calls_inside_of_calls_name_the_outer_one(tmp_path: Path) -> None:
    document = imported(tmp_path, "6.4")
    outer, inner = document.activities[:2]
    assert inner.parent == outer.id
    assert inner.step == outer.step
    log = journal_folder(tmp_path / "old.ipynb") / (outer.log.path if outer.log is not None else "")
    assert "Begin Task: imregrid" in log.read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.log", "-o", "a.ipynb"], "cannot be read"),
        (["empty.log", "-o", "a.ipynb"], "holds no call"),
        (["casa-5.6.log", "-o", "there.ipynb"], "exists"),
        (["casa-5.6.log", "-o", "a.txt"], "cannot be written"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("empty.log").write_text("2021-11-09 02:27:09\tINFO\t::casa\tCASA Version 6.4\n")
    shutil.copy(LOGS / "casa_5.6.log", "casa-5.6.log")
    Path("there.ipynb").write_text("{}")
    assert main(["import-log", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not Path(".casaprov").exists()


def test_the_record_can_be_made_without_a_notebook(capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(LOGS / "casa_5.6.log", "casa-5.6.log")
    Path("n.ms").write_text("no table")
    assert main(["import-log", "casa-5.6.log", "-o", ".casaprov/old"]) == 0
    assert "record of .casaprov/old" in capsys.readouterr().out
    assert list(Path().glob("*.ipynb")) == []
    assert main(["inspect", ".casaprov/old", "--upstream", "n.gcal"]) == 0
    shown = capsys.readouterr().out
    assert "gaincal" in shown
    assert "tclean" not in shown
    assert main(["import-log", "casa-5.6.log", "-o", ".casaprov/old"]) == 2
    assert "There is a record in .casaprov/old already" in capsys.readouterr().err


@pytest.mark.long
@pytest.mark.casa
def test_the_log_of_a_recorded_notebook_gives_its_record(
    reduction: Reduction, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    recorded = record_of(reduction.notebook)
    logs = sorted(map(str, reduction.folder.glob("casa-*.log")))
    assert main(["import-log", *logs, "--folder", str(reduction.folder), "-o", "old.ipynb"]) == 0
    told = capsys.readouterr().out
    assert f"{len(recorded.activities)} calls of CASA {recorded.sessions[0].environment.casatasks}" in told
    found = read_document(journal_folder(Path("old.ipynb")), "old.ipynb")
    assert [(a.task, a.outcome) for a in found.activities] == [(a.task, a.outcome) for a in recorded.activities]
    for one, other in zip(found.activities, recorded.activities, strict=True):
        assert one.parameters == other.parameters, one.task
    for ours, theirs in zip(files(found), files(recorded), strict=True):
        assert ours[0] == theirs[0]
        assert set(ours[1]) <= set(theirs[1]), ours
        assert set(theirs[1]) - set(ours[1]) <= {"n.ms.flagversions"}, ours
        assert set(theirs[2]) <= set(ours[2]) | {"n.ms.flagversions"}, ours
    # What nothing changed since has the digest that was recorded.
    recorded_last = {entity.path: entity.content_digest for entity in recorded.entities}
    digested = {entity.path: entity.content_digest for entity in found.entities if entity.content_digest}
    assert digested
    assert digested == {path: recorded_last[path] for path in digested}
    notebook = json.loads(Path("old.ipynb").read_text())
    assert len(notebook["metadata"]["casaprov"]["calls"]) == len(recorded.activities)


@pytest.mark.long
@pytest.mark.casa
def test_an_imported_record_is_exported_and_replayed(
    reduction: Reduction, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    logs = sorted(map(str, reduction.folder.glob("casa-*.log")))
    assert main(["import-log", *logs, "--folder", str(reduction.folder), "-o", "old.ipynb"]) == 0
    assert main(["export", "old.ipynb", "-o", "old.crate.zip"]) == 0
    assert main(["validate", "old.crate.zip"]) == 0
    capsys.readouterr()
    code = main(["replay", "old.crate.zip", "--work", "again", "--data", str(reduction.folder), "--json"])
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert code == 0, report
    assert main(["inspect", str(reduction.folder / "n.fits"), "--in", "."]) == 0
    assert "tclean" in capsys.readouterr().out
