"""A notebook with the cache on: calls with the same inputs are restored, all others run."""

from __future__ import annotations

import ast
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

from casaprov.cli.commands import main
from casaprov.journal.document import read_document
from casaprov.journal.folder import journal_folder
from casaprov.notebook.notebook_name import NOTEBOOK_VARIABLE
from casaprov.records.model import Activity
from live_kernel import LiveKernel

pytestmark = [pytest.mark.casa, pytest.mark.slow]


class Notebook:
    """A kernel with the cache on, in a folder with a small MeasurementSet."""

    def __init__(self, folder: Path, small_ms: Path) -> None:
        self.folder = folder
        self._small_ms = small_ms
        self.file = folder / "n.ipynb"
        self.kernel = LiveKernel(folder, environ={**os.environ, NOTEBOOK_VARIABLE: str(self.file)})
        self.kernel.good("%load_ext casaprov\n%casaprov config cache on\nimport casaprov, os, shutil, warnings")
        self.kernel.good("from casatasks import *\nfrom casatools import table\ntb = table()")
        # What is kept must not depend on the speed of the machine.
        self.kernel.good("from casaprov.recompute.store.results import Store\nStore._check_worth = lambda *_: None")

    def fresh(self) -> None:
        """Begin again with the MeasurementSet alone."""
        for path in self.folder.iterdir():
            if not path.name.startswith(".") and path.suffix != ".log":
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        shutil.copytree(self._small_ms, self.folder / "w.ms")

    def save(self, *cells: str) -> None:
        """Save a notebook with these cells, which ran."""
        code = [
            nbformat.v4.new_code_cell(cell, id=f"c{number}", execution_count=1) for number, cell in enumerate(cells)
        ]
        nbformat.write(nbformat.v4.new_notebook(cells=code), self.file)

    def run(self, code: str) -> tuple[Activity, str, Any]:
        """Run a cell with one call; return its record, what the cell showed and what the call returned."""
        shown = self.kernel.run(f"answer = {code}")
        self.kernel.good("casaprov.kernel_hook.settle()")
        returned = self.kernel.run("print(repr(answer))").stdout
        document = read_document(journal_folder(self.file), "", whole_lines=True)
        texts = [data.get("text/html", "") for data in (*shown.data, *shown.updates)]
        return document.activities[-1], f"{texts}\n{shown.stdout}\n{shown.error}", returned


@pytest.fixture(scope="module")
def notebook(small_ms: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Notebook]:
    notebook = Notebook(tmp_path_factory.mktemp("notebook"), small_ms)
    yield notebook
    notebook.kernel.close()


FLAG = "flagdata('w.ms', antenna='1', flagbackup=True)"
SUMMARY = "flagdata('w.ms', mode='summary')"


def outcome(activity: Activity) -> str:
    assert activity.look_up is not None
    return activity.look_up.outcome


def test_the_same_call_is_restored_with_all_that_it_left_and_showed(notebook: Notebook) -> None:
    notebook.fresh()
    first = [notebook.run(FLAG), notebook.run(SUMMARY)]
    notebook.fresh()
    second = [notebook.run(FLAG), notebook.run(SUMMARY)]
    assert [outcome(activity) for activity, *_ in (*first, *second)] == ["run", "run", "restored", "restored"]
    assert [activity.restored_from for activity, *_ in second] == [activity.id for activity, *_ in first]
    assert [returned for *_, returned in second] == [returned for *_, returned in first]
    assert (notebook.folder / "w.ms.flagversions").is_dir()
    assert "restored in" in second[0][1]
    assert "saved" in second[0][1]
    assert first[0][0].id in second[0][1]


def test_a_changed_parameter_runs_and_a_changed_input_runs(notebook: Notebook) -> None:
    notebook.fresh()
    notebook.run(FLAG)
    activity, *_ = notebook.run("flagdata('w.ms', antenna='2', flagbackup=True)")
    assert outcome(activity) == "run"
    assert outcome(notebook.run(SUMMARY)[0]) == "run"


def test_an_existing_output_is_refused_as_without_a_cache(notebook: Notebook) -> None:
    notebook.fresh()
    split = "split('w.ms', 's.ms', datacolumn='data')"
    assert outcome(notebook.run(split)[0]) == "run"
    activity, shown, _ = notebook.run(split)
    assert outcome(activity) == "run"
    assert activity.outcome == "failed"
    assert "already exists" in shown
    notebook.fresh()
    assert outcome(notebook.run(split)[0]) == "restored"


def test_calls_that_the_user_left_out_run(notebook: Notebook) -> None:
    notebook.fresh()
    notebook.run(FLAG)
    notebook.fresh()
    activity, *_ = notebook.run(f"0\nwith casaprov.nocache():\n    {FLAG}")
    assert activity.look_up is not None
    assert activity.look_up.reason == "The call is in a block under casaprov.nocache()."
    notebook.kernel.good("%casaprov config not_cached flagdata")
    notebook.fresh()
    activity, *_ = notebook.run(FLAG)
    assert activity.look_up is not None
    assert activity.look_up.reason == "The setting not_cached names flagdata."
    notebook.kernel.good("%casaprov config not_cached none")
    notebook.fresh()
    assert outcome(notebook.run(FLAG)[0]) == "restored"


def test_an_open_table_is_not_replaced_below_its_reader(notebook: Notebook) -> None:
    notebook.fresh()
    notebook.run(FLAG)
    notebook.fresh()
    notebook.kernel.good("tb.open('w.ms'); before = tb.getcol('FLAG')")
    activity, *_ = notebook.run(FLAG)
    notebook.kernel.good("tb.close()")
    assert outcome(activity) == "run"
    assert activity.look_up is not None
    assert "w.ms" in activity.look_up.reason


def test_setjy_after_delmod_never_gets_files_of_another_layout(notebook: Notebook) -> None:
    # A content digest does not say in which file MODEL_DATA lies. Restoring "the changed files" left 2 Jy here.
    def model(jansky: float) -> str:
        return f"setjy('w.ms', standard='manual', fluxdensity=[{jansky}, 0, 0, 0], usescratch=True)"

    read = "(tb.open('w.ms'), abs(tb.getcol('MODEL_DATA')).mean(), tb.close())[1]"
    notebook.fresh()
    notebook.run(model(2))
    activity, *_ = notebook.run(model(5))
    notebook.fresh()
    notebook.run(model(2))
    notebook.run("delmod('w.ms', scr=True)")
    notebook.run(model(2))
    again, *_ = notebook.run(model(5))
    assert again.restored_from == activity.id, again.look_up
    mean = notebook.kernel.good(f"print({read})").stdout
    assert ast.literal_eval(mean.splitlines()[-1].split("(")[-1].rstrip(")")) == pytest.approx(5.0)


def test_the_magic_turns_the_cache_on_and_gives_reasons(notebook: Notebook) -> None:
    notebook.fresh()
    notebook.run("flagdata('w.ms', antenna='4', flagbackup=False)")
    notebook.fresh()
    notebook.run("flagdata('w.ms', antenna='5', flagbackup=False)")
    assert "antenna was" in notebook.kernel.good("%casaprov why flagdata").text
    assert "The cache is on." in notebook.kernel.good("%casaprov cache").text
    assert "The cache is off." in notebook.kernel.good("%casaprov cache off").text
    activity, *_ = notebook.run("visstat('w.ms')")
    assert activity.look_up is None
    assert "The cache is on." in notebook.kernel.good("%casaprov cache on").text


def test_the_cells_that_an_edit_concerns_run_again_and_no_others(
    notebook: Notebook, capsys: pytest.CaptureFixture[str]
) -> None:
    notebook.fresh()
    (notebook.folder / "w.ms").rename(notebook.folder / "raw.ms")
    cells = [
        "split('raw.ms', 'n.ms', datacolumn='data')",
        "flagdata('n.ms', antenna='3', flagbackup=False)",
        "gaincal('n.ms', caltable='n.G', solint='inf', minsnr=0.0)",
    ]
    for number, cell in enumerate(cells):
        notebook.kernel.good(cell, f"c{number}")
    notebook.save(*cells)
    assert "would give these products" in notebook.kernel.good("%casaprov check").text
    assert main(["check", str(notebook.file)]) == 0
    assert main(["run", "--dry", str(notebook.file)]) == 0
    assert "3 calls would be restored and 0 run" in " ".join(capsys.readouterr().out.split())

    cells[2] = cells[2].replace("inf", "60s")
    notebook.save(*cells)
    assert main(["check", str(notebook.file)]) == 1
    assert "cell 3 (gaincal): It was edited after it ran." in " ".join(capsys.readouterr().out.split())
    assert main(["run", "--dry", str(notebook.file)]) == 0
    assert "2 calls would be restored and 1 run" in " ".join(capsys.readouterr().out.split())
    assert "would give these products" in notebook.kernel.good("%casaprov rerun").text

    cells[1] = cells[1].replace("antenna='3'", "antenna='4'")
    notebook.save(*cells)
    assert "would give these products" in notebook.kernel.good("%casaprov rerun").text
    document = read_document(journal_folder(notebook.file), "", whole_lines=True)
    assert [(a.task, outcome(a)) for a in document.activities[-3:]] == [
        ("split", "restored"),
        ("flagdata", "run"),
        ("gaincal", "run"),
    ]
    assert len(list(notebook.folder.glob(".casaprov/aside/*/n.ms"))) == 1


def test_a_function_that_may_be_restored_is_restored_until_its_code_changes(notebook: Notebook) -> None:
    define = """
@casaprov.activity(used=["source"], generated=["target"], cache=True)
def twice(source, target, factor=2):
    print("computing")
    with open(source) as file, open(target, "w") as out:
        value = float(file.read()) * factor
        out.write(str(value))
    return {"value": value}
"""
    notebook.fresh()
    (notebook.folder / "a.txt").write_text("4.0")
    run = "twice('a.txt', 'b.txt')"
    notebook.kernel.good(define)
    first, *_ = notebook.run(run)
    (notebook.folder / "b.txt").unlink()
    again, shown, returned = notebook.run(run)
    assert (outcome(first), outcome(again), again.restored_from) == ("run", "restored", first.id)
    assert "{'value': 8.0}" in returned
    assert "computing" in shown
    assert (notebook.folder / "b.txt").read_text() == "8.0"
    (notebook.folder / "b.txt").unlink()
    notebook.kernel.good(define.replace("* factor", "+ factor"))
    changed, _, returned = notebook.run(run)
    assert outcome(changed) == "run"
    assert "{'value': 6.0}" in returned
    (notebook.folder / "b.txt").unlink()
    (notebook.folder / "a.txt").write_text("5.0")
    assert outcome(notebook.run(run)[0]) == "run"
