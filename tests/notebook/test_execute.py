"""`casaprov run` loses no executed notebook: signals, time limits, full disks, folders that vanish."""

from __future__ import annotations

import ctypes
import platform
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest

from casaprov.cli.commands import main
from casaprov.journal.document import read_document
from casaprov.journal.folder import journal_folder
from casaprov.notebook.execute import run_notebook
from casaprov.processes.signals import signals
from reductions import write_notebook
from terminal_signals import in_a_terminal

WAIT = "from pathlib import Path\nimport time\nPath('reached').touch()\ntime.sleep(60)"
# The signal may come as soon as the file is there, before the call that makes it has returned.
CATCH = "from pathlib import Path\nimport time\ntry:\n    Path('reached').touch()\n    time.sleep(60)\nexcept KeyboardInterrupt:\n    "
TCLEAN = (
    "import threading, time\nfrom pathlib import Path\n"
    "def tell():\n    while not Path('n.residual').exists():\n        time.sleep(0.01)\n    Path('reached').touch()\n"
    "threading.Thread(target=tell, daemon=True).start()\n"
    "tclean(vis='n.ms', imagename='n', imsize=128, cell='15arcsec', niter=10**8, specmode='cube')"
)


def outputs(path: Path) -> list[list[Any]]:
    return [cell.outputs for cell in nbformat.read(path, as_version=4).cells]


def interrupted(
    notebook: Path,
    number: signal.Signals,
    send: Callable[[subprocess.Popen[str], int], None] = subprocess.Popen.send_signal,
) -> subprocess.CompletedProcess[str]:
    """Run a notebook, and send a signal when its cell has left the file ``reached``."""
    command = in_a_terminal("-m", "casaprov", "run", str(notebook))
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not (notebook.parent / "reached").exists():
        time.sleep(0.05)
    send(process, number)
    out, err = process.communicate(timeout=60)
    return subprocess.CompletedProcess(command, process.returncode, out, err)


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGINT, 130),
        pytest.param(signal.SIGTERM, 143, marks=pytest.mark.long),
        pytest.param(signal.SIGHUP, 129, marks=pytest.mark.long),
    ],
    ids=str,
)
def test_a_signal_ends_the_run_with_the_notebook_written(tmp_path: Path, number: signal.Signals, code: int) -> None:
    notebook = write_notebook(tmp_path / "k.ipynb", ["print('one')", WAIT, "print('three')"])
    done = interrupted(notebook, number)
    assert done.returncode == code
    assert done.stderr.splitlines()[2:] == [
        f"Interrupted by {number.name} in cell 2. The cells executed so far are in {notebook}."
    ]
    first, second, third = outputs(notebook)
    assert first[0].text == "one\n"
    assert second[-1].ename == "KeyboardInterrupt"
    assert third == []


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the number of the system call is that of x86-64")
def test_a_signal_that_another_thread_gets_is_heard(tmp_path: Path) -> None:
    def to_another(process: subprocess.Popen[str], number: int) -> None:
        threads = [int(task.name) for task in Path(f"/proc/{process.pid}/task").iterdir()]
        thread = next(thread for thread in threads if thread != process.pid)
        tgkill = 234  # on x86-64
        assert ctypes.CDLL(None).syscall(tgkill, process.pid, thread, number) == 0

    notebook = write_notebook(tmp_path / "k.ipynb", ["print('one')", WAIT])
    began = time.monotonic()
    assert interrupted(notebook, signal.SIGTERM, to_another).returncode == 143
    assert time.monotonic() - began < 45
    assert outputs(notebook)[1][-1].ename == "KeyboardInterrupt"


def test_a_cell_that_does_not_end_is_interrupted_again(tmp_path: Path) -> None:
    notebook = write_notebook(tmp_path / "k.ipynb", [CATCH + "time.sleep(60)"])
    assert interrupted(notebook, signal.SIGTERM).returncode == 143
    assert outputs(notebook)[0][-1].ename == "KeyboardInterrupt"


def test_a_cell_that_catches_the_interrupt_is_the_last_all_the_same(tmp_path: Path) -> None:
    notebook = write_notebook(tmp_path / "k.ipynb", [CATCH + "print('caught')", "print('two')"])
    assert interrupted(notebook, signal.SIGTERM).returncode == 143
    assert [[output.text for output in cell] for cell in outputs(notebook)] == [["caught\n"], []]


@pytest.mark.long
@pytest.mark.casa
def test_an_interrupted_task_is_in_the_record(tmp_path: Path, ngc5921_fits: Path) -> None:
    cells = ["from casatasks import importuvfits, tclean", f"importuvfits({str(ngc5921_fits)!r}, 'n.ms')", TCLEAN]
    notebook = write_notebook(tmp_path / "k.ipynb", cells)
    assert interrupted(notebook, signal.SIGINT).returncode == 130
    first, second = read_document(journal_folder(notebook), "k.ipynb").activities
    assert (first.outcome, second.task) == ("completed", "tclean")
    assert second.outcome in {"interrupted", "unfinished"}  # whether CASA's C++ heard of it in time
    assert [call["task"] for call in nbformat.read(notebook, as_version=4).metadata["casaprov"]["calls"]] == [
        "importuvfits",
        "tclean",
    ]


def test_signals_that_are_ignored_stay_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with signals(lambda _number: None):
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_notebook_can_be_run_in_a_thread(tmp_path: Path) -> None:
    notebook = write_notebook(tmp_path / "k.ipynb", ["print('one')"])
    results = []
    thread = threading.Thread(target=lambda: results.append(run_notebook(notebook, notebook)))
    thread.start()
    thread.join()
    assert results[0].failure is None
    assert outputs(notebook)[0][0].text == "one\n"


@pytest.mark.parametrize("how", ["pass", "raise"])
def test_a_cell_beyond_the_time_limit_is_named_with_the_option(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], how: str
) -> None:
    slow = f"import time\ntry:\n    time.sleep(60)\nexcept KeyboardInterrupt:\n    {how}"
    notebook = write_notebook(tmp_path / "k.ipynb", ["1", slow, "print('three')"])
    assert main(["run", str(notebook), "--timeout", "2.5"]) == 3
    told = capfd.readouterr().err
    assert "Cell 2 failed: It took longer than the 2.5 s that --timeout allows.\n" in told
    assert "Traceback" not in told
    assert "ERROR" not in told
    assert outputs(notebook)[2] == []


@pytest.mark.parametrize("value", ["nan", "inf", "-1", "0", "soon"])
def test_a_time_limit_that_is_none_is_refused(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "n.ipynb", "--timeout", value]) == 2
    assert "--timeout" in capsys.readouterr().err


def test_a_target_that_cannot_be_written_is_told_before_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    notebook = write_notebook(tmp_path / "k.ipynb", [f"open({str(tmp_path / 'was run')!r}, 'w')"])
    (tmp_path / "file").write_text("in the way")
    for target, code in ((tmp_path / "file" / "k.ipynb", 3), (Path("/proc/k.ipynb"), 3), (tmp_path / "n.ms", 2)):
        assert main(["run", str(notebook), "-o", str(target)]) == code
        told = capsys.readouterr().err
        assert "cannot be written to" in told
        assert "cell 1/1" not in told
    assert not (tmp_path / "was run").exists()


def test_a_notebook_whose_folder_vanished_is_written_elsewhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    notebook = write_notebook(tmp_path / "nb" / "k.ipynb", ["import shutil\nprint('hours')\nshutil.rmtree('../nb')"])
    assert main(["run", str(notebook)]) == 3
    (written,) = (tmp_path / "temporary").rglob("k.ipynb")
    assert outputs(written)[0][0].text == "hours\n"
    told = capsys.readouterr()
    assert f"The notebook {notebook} cannot be written" in told.err
    assert str(written) in told.err
    assert f"Written: {written}" in told.out


def test_a_damaged_record_does_not_cost_the_notebook(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damage = "from pathlib import Path\nfolder = Path('.casaprov/k')\nfolder.mkdir(parents=True)\n"
    damage += "(folder / 'x.jsonl').write_text('{}\\n')\nprint('hours')"
    notebook = write_notebook(tmp_path / "k.ipynb", [damage])
    assert main(["run", str(notebook)]) == 3
    assert outputs(notebook)[0][0].text == "hours\n"
    assert "does not begin with a session" in capsys.readouterr().err


@pytest.mark.long
@pytest.mark.casa
def test_a_record_that_could_not_be_written_is_missed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / ".casaprov").write_text("in the way")
    cells = ["from casatasks import listobs\ntry:\n    listobs('none.ms')\nexcept Exception:\n    print('hours')"]
    notebook = write_notebook(tmp_path / "k.ipynb", cells)
    assert main(["run", str(notebook)]) == 3
    told = capsys.readouterr()
    assert "There is no record in" in told.err
    assert "No CASA task was called" not in told.out
    assert "hours\n" in [output.get("text") for output in outputs(notebook)[0]]
