"""``%casaprov`` and its answers, in a real kernel that all tests of this module share."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from casaprov.casa.installed.data import DataSource
from casaprov.cli.commands import main
from casaprov.journal.document import read_document
from casaprov.journal.folder import journal_folder
from casaprov.kernel.settings import Settings
from casaprov.lineage.graph import Lineage
from casaprov.records.schema import validate_record
from watched_kernel import SETTLE, WatchedKernel, saved_kernel

pytestmark = [pytest.mark.casa, pytest.mark.usefixtures("casa_site_config")]

GAIN = "gaincal(vis='n.ms', caltable='n.gcal', field='0', spw='0:6~56', solint=interval, refant='15');"
CELLS = {
    "load": "%load_ext casaprov\nfrom casatasks import *\ninterval = 'inf'",
    "fill": "importuvfits({fits!r}, 'n.ms')",
    "gain": GAIN,
    "apply": "applycal('n.ms', gaintable='n.gcal')",
    "stat": "s = visstat('n.ms', field='0', datacolumn='corrected')",
}


@pytest.fixture(scope="module")
def kernel(
    casa_site_config: DataSource, ngc5921_fits: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WatchedKernel]:
    """A kernel of a saved notebook whose cells were run from top to bottom."""
    with saved_kernel(tmp_path_factory.mktemp("magics"), CELLS, ngc5921_fits) as (kernel, sources):
        for name, source in sources.items():
            kernel.run(source, name)
        kernel.run(SETTLE)  # the pages are about records that are finished
        yield kernel


def told(kernel: WatchedKernel, line: str) -> str:
    shown = kernel.run(line)
    assert shown.error == ""
    assert shown.streams == {}
    assert shown.of("text/html") or shown.of("image/svg+xml")
    return shown.plain


def test_alone_it_tells_what_is_recorded_and_what_that_cost(kernel: WatchedKernel) -> None:
    plain = told(kernel, "%casaprov")
    assert plain == told(kernel, "%casaprov status")
    assert "n.ipynb is recorded." in plain
    assert "4 in this session" in plain
    assert "NGC5921" in plain
    assert "n.gcal" in plain
    assert "s for casaprov" in plain
    assert "Nothing is stale" in plain
    assert "show_log = yes" in plain
    assert "fast_above = 10 GB" in plain


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("statsu", "There is no 'statsu'. Did you mean status?"),
        (
            "xyz",
            "There is no 'xyz'. There are status, graph, log, show, export, config, cache, why, diff, check, rerun, pause",
        ),
        ("status now", "status takes nothing more; 'now' was given. Write: %casaprov status"),
        ("log 99", "There is no call 99; this session has 4. %casaprov log lists the calls."),
        ("show gancal", "There is no call gancal. Did you mean gaincal?"),
        ("show", "No call is named. %casaprov log lists the calls."),
        ("config shwo_log", "There is no setting 'shwo_log'. Did you mean show_log?"),
        ("config show_log maybe", "show_log cannot be 'maybe'. It is yes or no."),
        ("config workers 0", "workers cannot be '0'. It is a number such as 2."),
        ("export a b", "export takes one file at most."),
        ("diff a b", "diff takes one session at most."),
        ("diff", "This is the first run that is recorded"),
        ("log 'open", "cannot be read: No closing quotation."),
    ],
)
def test_a_mistake_is_answered_by_a_sentence(kernel: WatchedKernel, line: str, sentence: str) -> None:
    plain = told(kernel, f"%casaprov {line}")
    assert plain.startswith("%casaprov: ")
    assert sentence in plain
    assert "\n" not in plain


def test_calls_are_shown_with_all_that_is_recorded(kernel: WatchedKernel) -> None:
    plain = told(kernel, "%casaprov show 2")
    document = read_document(journal_folder(kernel.folder / "n.ipynb"), "n.ipynb")
    call = document.activities[1]
    assert plain.startswith("Call 2: gaincal")
    assert "cell 3, In [3]" in plain
    assert all(f"\n{name} " in plain for name in call.parameters)
    html = "".join(kernel.run("%casaprov show gaincal").of("text/html"))
    digests = [Lineage(document).entities[usage.entity].content_digest for usage in (*call.used, *call.generated)]
    assert all(digest is not None and digest in html for digest in digests)
    assert "call 1" in html


def test_logs_are_listed_and_shown(kernel: WatchedKernel) -> None:
    assert [line.split()[1] for line in told(kernel, "%casaprov log").splitlines()[1:5]] == [
        "importuvfits",
        "gaincal",
        "applycal",
        "visstat",
    ]
    assert "Begin Task: applycal" in told(kernel, "%casaprov log 3")
    assert told(kernel, "%casaprov log applycal") == told(kernel, "%casaprov log 0003")


def test_the_graph_is_drawn_inline_without_any_other_program(kernel: WatchedKernel) -> None:
    try:
        kernel.run("import os; path = os.environ['PATH']; os.environ['PATH'] = ''")
        (svg,) = kernel.run("%casaprov graph").of("image/svg+xml")
    finally:
        kernel.run("os.environ['PATH'] = path")
    assert svg.startswith("<svg")
    assert "gaincal" in svg
    assert "n.gcal" in svg


def test_everything_completes(kernel: WatchedKernel) -> None:
    assert {"status", "graph", "log", "show"} <= set(kernel.completions("%casaprov "))
    assert kernel.completions("%casaprov st") == ["status"]
    assert {"1", "4", "gaincal"} <= set(kernel.completions("%casaprov show "))
    assert kernel.completions("%casaprov log ga") == ["gaincal"]
    assert kernel.completions("%casaprov config sh") == ["show_log"]
    assert {"yes", "no"} <= set(kernel.completions("%casaprov config show_log "))
    assert kernel.completions("%casaprov config show_log y") == ["yes"]
    assert "n.crate.zip" in kernel.completions("%casaprov export n")


def test_settings_are_chosen_for_the_session(kernel: WatchedKernel) -> None:
    assert ["workers", "2", "default"] in [line.split() for line in told(kernel, "%casaprov config").splitlines()]
    assert told(kernel, "%casaprov config workers 1") == "workers = 1 from now on, in this session."
    assert told(kernel, "%casaprov config workers") == "workers = 1 (chosen by: %casaprov config)"
    assert told(kernel, "%casaprov config fast_above 2 GB") == "fast_above = 2 GB from now on, in this session."
    assert kernel.run(f"s = visstat('n.ms', field='1')\n{SETTLE}").error == ""
    document = read_document(journal_folder(kernel.folder / "n.ipynb"), "n.ipynb")
    assert document.activities[-1].problems == ()
    told(kernel, "%casaprov config workers 2")


def settled(kernel: WatchedKernel, source: str, cell: str) -> str:
    """Text below a cell when the records of its calls are finished, which is after it has ended."""
    shown = kernel.run(source, cell)
    kernel.run(SETTLE)
    return shown.plain


def test_what_used_something_stale_says_so_and_what_to_do(kernel: WatchedKernel) -> None:
    assert "Stale" not in settled(kernel, GAIN, "gain")  # the same content again wakes nobody
    assert "Stale" not in settled(kernel, CELLS["stat"], "stat")
    kernel.run("interval = '60s'", "set")
    kernel.run(GAIN, "gain")
    shown = settled(kernel, CELLS["stat"], "stat")
    assert "Stale: visstat used n.ms, which is stale: applycal (cell 4, In [" in shown
    assert "used n.gcal as it was before gaincal (cell 3, In [" in shown
    assert re.search(r"^n\.ms.*: applycal \(cell 4, ", told(kernel, "%casaprov"), re.MULTILINE)
    kernel.run(CELLS["apply"], "apply")
    assert "Stale" not in settled(kernel, CELLS["stat"], "stat")
    assert "stale: run" not in told(kernel, "%casaprov")


def test_what_changed_in_a_pause_is_a_gap_that_says_why(kernel: WatchedKernel) -> None:
    before = len(read_document(journal_folder(kernel.folder / "n.ipynb"), "n.ipynb").activities)
    assert "not recorded" in told(kernel, "%casaprov pause")
    assert "paused already" in told(kernel, "%casaprov pause")
    assert "Recording is paused since" in told(kernel, "%casaprov")
    shown = kernel.run("flagdata('n.ms', antenna='5');\nopen('list.txt', 'w').write(\"antenna='6'\\n\");")
    assert "not recorded: casaprov is paused" in shown.plain
    kernel.run("import time; time.sleep(0.1)")
    told(kernel, "%casaprov resume")
    assert told(kernel, "%casaprov resume") == "Recording is not paused."
    settled(kernel, "flagdata('n.ms', mode='list', inpfile='list.txt');", "")
    document = read_document(journal_folder(kernel.folder / "n.ipynb"), "n.ipynb")
    assert len(document.activities) == before + 1
    used = {e.path: e for e in (Lineage(document).entities[usage.entity] for usage in document.activities[-1].used)}
    assert used["n.ms"].gap
    assert "FLAG" in used["n.ms"].note
    assert "Recording was paused from " in used["n.ms"].note
    assert "while recording was paused, from " in used["list.txt"].note
    assert "Recording was paused from" in told(kernel, "%casaprov")
    for line in next(journal_folder(kernel.folder / "n.ipynb").glob("*.jsonl")).read_text().splitlines():
        validate_record(json.loads(line), "journal-1")


def test_a_crate_is_packed_and_what_is_in_it_said(kernel: WatchedKernel, capsys: pytest.CaptureFixture[str]) -> None:
    kernel.run("vishead('n.ms')", "new")
    plain = told(kernel, "%casaprov export")
    assert "n.crate.zip" in plain
    assert "n.ipynb as it was saved at" in plain
    assert "ran in cells that the saved notebook lacks or has in another form" in plain
    assert "vishead" in plain
    assert main(["validate", str(kernel.folder / "n.crate.zip")]) == 0
    capsys.readouterr()
    again = told(kernel, "%casaprov export")
    assert "There is a crate" in again
    assert again.endswith("Write: %casaprov export --overwrite, or %casaprov export OTHER.zip")
    refused = told(kernel, "%casaprov export n.ipynb")
    assert "The crate cannot take the place of its notebook" in refused
    assert refused.endswith("Write: %casaprov export OTHER.zip")


def test_a_notebook_that_the_kernel_does_not_know_is_not_packed(kernel: WatchedKernel) -> None:
    (kernel.folder / "n.ipynb").rename(kernel.folder / "other.ipynb")
    try:
        assert "casaprov export NOTEBOOK.ipynb" in told(kernel, "%casaprov export")
        assert "In [" in told(kernel, "%casaprov log")
    finally:
        (kernel.folder / "other.ipynb").rename(kernel.folder / "n.ipynb")


def test_unloading_takes_the_magic_away(kernel: WatchedKernel) -> None:
    kernel.run("%unload_ext casaprov")
    assert "not found" in kernel.run("%casaprov").streams["stderr"]
    assert kernel.run("vishead('n.ms')").html == ""
    kernel.run("%load_ext casaprov")
    listed = told(kernel, "%casaprov log")  # before a call: those of the session before
    assert listed.splitlines()[1].split()[:2] == ["1", "importuvfits"]
    assert "1 in this session; " in kernel.run("vishead('n.ms')\n%casaprov").plain


def test_a_number_below_a_cell_names_its_call_after_a_restart_too(kernel: WatchedKernel) -> None:
    first, *_, last = read_document(journal_folder(kernel.folder / "n.ipynb"), "n.ipynb").activities
    assert first.session != last.session
    assert "Begin Task: importuvfits" in told(kernel, f"%casaprov log {first.reference}")
    assert "Begin Task: vishead" in told(kernel, "%casaprov log 1")  # of this session
    earlier = told(kernel, "%casaprov log 3")  # this one has made fewer calls
    assert "Begin Task: applycal" in earlier
    assert "(an earlier session)" in earlier


def test_products_that_were_removed_are_no_products(kernel: WatchedKernel) -> None:
    lines = {line.split()[0]: line for line in told(kernel, "%casaprov").splitlines() if line.strip()}
    assert "n.gcal" in lines["Products"]
    kernel.run("import shutil; shutil.move('n.gcal', '../n.gcal')")
    try:
        lines = {line.split()[0]: line for line in told(kernel, "%casaprov").splitlines() if line.strip()}
        assert "n.gcal" not in lines["Products"]
        assert "n.gcal" in lines["Removed"]
    finally:
        kernel.run("shutil.move('../n.gcal', 'n.gcal')")


def test_settings_that_cannot_be_read_leave_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.casaprov]\nshow_log = 'perhaps'\n")
    settings = Settings(tmp_path)
    assert "pyproject.toml: show_log cannot be 'perhaps'" in settings.trouble
    assert settings.config.show_log == "yes"
    assert settings.choose("show_log", "no").show_log == "no"
