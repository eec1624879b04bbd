"""``casaprov diff``: notebooks, crates and sessions by the names that users give, and exit codes that scripts can use."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from casaprov.cli.commands import main
from casaprov.hashing import digest_bytes
from casaprov.records.model import Activity, Document
from reductions import REDUCTION, Reduction, reduce
from sample_records import journaled, make_reduction, pack_reduction


def _changed(document: Document) -> Document:
    """The same reduction with other solutions, of another solution interval."""

    def changed(activity: Activity) -> Activity:
        if activity.task != "gaincal":
            return activity
        parameters = {**activity.parameters, "solint": "60s"}
        return replace(activity, parameters=parameters, given=tuple(dict.fromkeys((*activity.given, "solint"))))

    entities = tuple(
        replace(e, content_digest=digest_bytes(b"others")) if e.path == "n.gcal" else e for e in document.entities
    )
    return replace(document, activities=tuple(map(changed, document.activities)), entities=entities)


@pytest.fixture
def crates(tmp_path: Path) -> tuple[str, str]:
    """Crates of the same reduction with one parameter changed."""
    made = make_reduction(tmp_path / "a")
    names = tmp_path / "a.crate.zip", tmp_path / "b.crate.zip"
    pack_reduction(made, names[0])
    pack_reduction(replace(made, document=_changed(made.document)), names[1])
    return str(names[0]), str(names[1])


def test_crates_are_compared_by_diff_and_by_compare(
    crates: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "changes.html"
    assert main(["diff", *crates, "--html", str(page)]) == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert "What differed first: Call" in shown
    assert "→ '60s'" in shown
    assert "gaincal" in page.read_text()

    assert main(["compare", *crates, "--json"]) == 1
    captured = capsys.readouterr()
    assert "casaprov diff" in captured.err
    found = json.loads(captured.out)
    assert found["format"] == "casaprov/run-diff/1"
    (cause,) = found["causes"]
    assert found["calls"][cause["call"]]["task"] == "gaincal"
    assert "n.gcal" in cause["products"]

    assert main(["diff", crates[0], crates[0]]) == 0
    assert "are the same" in capsys.readouterr().out

    # Zipped inside a folder, as GitHub and Zenodo do.
    nested = tmp_path / "nested.zip"
    with zipfile.ZipFile(crates[0]) as archive, zipfile.ZipFile(nested, "w") as other:
        for name in archive.namelist():
            if not name.endswith("/"):
                other.writestr(f"top/{name}", archive.read(name))
    assert main(["diff", crates[0], str(nested), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["second"]["calls"] == 8


def test_sessions_of_a_notebook_go_by_number_and_by_id(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = journaled(tmp_path / "a")
    notebook, session = str(made.notebook), made.document.sessions[0]
    assert main(["diff", notebook]) == 2
    assert "one run only" in capsys.readouterr().err

    text = (made.journal / f"{session.id}.jsonl").read_text()
    later = session.id[:-6] + "fffff1"
    again = text.replace(session.id, later).replace(session.started_at, "2099-01-01T00:00:00.000000+00:00")
    (made.journal / f"{later}.jsonl").write_text(again)
    for names in (
        [notebook],
        [f"{notebook}@1", f"{notebook}@-1"],
        [f"{notebook}@{session.id[-6:]}", f"{notebook}@fffff1"],
    ):
        assert main(["diff", *names]) in (0, 4)
        shown = " ".join(capsys.readouterr().out.split())
        assert "session fffff1" in shown
        assert session.id[-6:] in shown
    assert main(["diff", f"{notebook}@9", notebook]) == 2
    assert "is none of its sessions" in capsys.readouterr().err


@pytest.mark.parametrize("names", [["nothing.zip", "nothing.zip"], ["nothing.ipynb@1", "nothing.ipynb"]])
def test_a_run_that_is_not_there_is_a_usage_error(names: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", *names]) == 2
    assert "There is no nothing" in capsys.readouterr().err


@pytest.mark.casa
@pytest.mark.slow
@pytest.mark.long
def test_two_runs_with_one_parameter_changed_give_numbers(
    reduction: Reduction, ngc5921_fits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cells = [cell.replace("niter=10", "niter=20") for cell in REDUCTION]
    other = reduce(tmp_path / "other", ngc5921_fits, cells)
    capsys.readouterr()
    assert main(["diff", str(reduction.crate), str(other.notebook), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    (cause,) = found["causes"]
    assert "niter: 10 → 20" in cause["sentence"]
    verdicts = {one["path"]: one["comparison"]["verdict"] for one in found["products"]}
    assert verdicts["n.gcal"] == verdicts["n.psf"] == "same-content"
    assert verdicts["n.model"] == "differs"
    assert verdicts["n.txt"] in ("same-content", "identical")  # the listing names another folder
    model = next(one for one in found["products"] if one["path"] == "n.model")
    assert "max is" in model["comparison"]["differences"][0]["what"] or "differ" in str(model["comparison"])
    assert [call["role"] for call in found["calls"] if call["task"] == "exportfits"] == ["effect"]
