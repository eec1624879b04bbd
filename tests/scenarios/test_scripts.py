"""A script runs as under plain Python; its record is packed, checked and asked like that of a notebook."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from casaprov.cli.commands import main
from casaprov.hashing import digest_bytes
from casaprov.journal.document import read_document
from reductions import write_notebook

SCRIPT = """\
# # Two files

# +
import atexit, sys
from pathlib import Path
from helper import write

atexit.register(print, "at exit")
# -

# +
write("x", "a.txt")
print(sys.argv, __file__, __name__, sys.path[0], sorted(globals()))
print("to stderr", file=sys.stderr)
# -

# +
if sys.argv[1] == "fail":
    write(1, "b.txt")
if sys.argv[1] == "interrupt":
    raise KeyboardInterrupt
# -

write("y", "b.txt")
sys.exit(int(sys.argv[1]))
"""
HELPER = """\
from pathlib import Path
import casaprov

@casaprov.activity(generated=["out"])
def write(text, out):
    Path(out).write_text(text)
"""
RECORDED = "calls are recorded in"


def _folder(folder: Path) -> Path:
    folder.mkdir()
    (folder / "two.py").write_text(SCRIPT)
    (folder / "helper.py").write_text(HELPER)
    return folder


def _run(folder: Path, command: list[str]) -> tuple[int, str, list[str]]:
    """Return exit code and output of a command in a folder, without sentences of casaprov and its frames."""
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, capture_output=True, text=True, check=False, timeout=300
    )
    lines = [line for line in done.stderr.splitlines() if not line.startswith("casaprov: ")]
    return done.returncode, done.stdout, lines


def _both(folder: Path, *arguments: str) -> tuple[tuple[int, str, list[str]], tuple[int, str, list[str]]]:
    """Return the outcomes under plain Python and under casaprov, each in the same fresh folder."""
    outcomes = []
    for command in (["two.py", *arguments], ["-m", "casaprov", "run", "two.py", "--", *arguments]):
        shutil.rmtree(folder, ignore_errors=True)
        outcomes.append(_run(_folder(folder), command))
    return outcomes[0], outcomes[1]


def _graph(crate: Path) -> dict[str, dict[str, Any]]:
    with zipfile.ZipFile(crate) as archive:
        nodes = json.loads(archive.read("ro-crate-metadata.json"))["@graph"]
    return {node["@id"]: node for node in nodes}


def test_a_script_runs_as_under_python_and_is_packed_as_it_ran(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    plain, recorded = _both(folder, "7")
    assert recorded == plain
    assert plain[0] == 7
    monkeypatch.chdir(folder)
    Path("two.py").write_text("another = 'text'\n")
    document = read_document(folder / ".casaprov" / "two.py", "two.py")
    assert [activity.step.execution_count for activity in document.activities if activity.step] == [2, 4]
    places = [line.path for line in document.activities[0].step.scripts] if document.activities[0].step else []
    assert places == ["two.py"]
    run = document.sessions[0].script
    assert run is not None
    assert (run.arguments, run.digest) == (("7",), digest_bytes(SCRIPT.encode()))

    assert main(["export", "two.py", "-o", "two.crate.zip"]) == 0
    assert "was changed after it ran" in capsys.readouterr().err
    graph = _graph(folder / "two.crate.zip")
    script = graph["two.py"]
    assert graph["./"]["mainEntity"] == {"@id": "two.py"}
    assert graph["./"]["name"] == "Two files"
    assert "ComputationalWorkflow" in script["@type"]
    assert graph[script["programmingLanguage"]["@id"]]["name"] == "Python"
    assert script["sha256"] == run.digest.removeprefix("sha256:")
    for subject in ("two.crate.zip", "two.py"):
        assert main(["validate", subject]) == 0, subject
        assert main(["inspect", subject, "--json"]) == 0
        assert [a["task"] for a in json.loads(capsys.readouterr().out.splitlines()[-1])["activities"]] == ["write"] * 2
    Path("two.py").write_text(SCRIPT)
    assert main(["check", "two.py"]) == 0
    assert "A run of the script would give these products." in capsys.readouterr().out
    Path("two.py").write_text(SCRIPT.replace('write("x"', 'write("z"'))
    assert main(["check", "two.py"]) == 1
    told = capsys.readouterr().out
    assert "a.txt: It was edited after it ran." in told
    assert "b.txt" not in told
    assert main(["run", "--dry", "two.py"]) == 0
    assert "0 calls would be restored and 2 run" in capsys.readouterr().out
    assert main(["sync", "two.py"]) == 0
    assert "2 calls of 1 session" in capsys.readouterr().out
    Path("renamed.py").write_text(SCRIPT)
    assert main(["sync", "renamed.py"]) == 0
    assert main(["inspect", "renamed.py"]) == 0


def _without_own_frames(lines: list[str]) -> list[str]:
    """Return the lines of a traceback without frames of casaprov, each of which has one line or more of source."""
    kept, own = [], False
    for line in lines:
        own = "/casaprov/recording/" in line if line.startswith("  File ") else own and line.startswith("    ")
        kept += [] if own else [line]
    return kept


@pytest.mark.parametrize("argument", ["fail", "interrupt"])
@pytest.mark.long
def test_a_script_ends_as_under_python(tmp_path: Path, argument: str) -> None:
    plain, recorded = _both(tmp_path / "run", argument)
    assert recorded[:2] == plain[:2]
    # Under plain Python the traceback shows casaprov.activity.
    assert recorded[2] == _without_own_frames(plain[2])
    assert plain[0] == {"fail": 1, "interrupt": -signal.SIGINT}[argument]
    document = read_document(tmp_path / "run" / ".casaprov" / "two.py", "two.py")
    assert document.sessions[0].closed
    assert document.activities[-1].outcome == ("failed" if argument == "fail" else "completed")


def test_a_script_starts_with_the_sqlite_of_python(tmp_path: Path) -> None:
    """CASA brings another one, which does not serve every Python."""
    (tmp_path / "s.py").write_text("import sys\nsys.exit('sqlite3' not in sys.modules)\n")
    assert _run(tmp_path, ["-m", "casaprov", "run", "s.py"])[0] == 0


def test_options_for_notebooks_are_refused_for_a_script(capsys: pytest.CaptureFixture[str]) -> None:
    Path("two.py").write_text(SCRIPT)
    for option in (["--kernel", "python3"], ["--timeout", "3"], ["-o", "x.ipynb"], ["--dry", "-o", "x.ipynb"]):
        assert main(["run", "two.py", *option]) == 2
        assert "is for notebooks" in capsys.readouterr().err
    assert main(["run", "none.py"]) == 2
    assert "There is no script none.py" in capsys.readouterr().err
    write_notebook(Path("n.ipynb"), ["1"])
    assert main(["run", "n.ipynb", "--", "x"]) == 2
    assert "takes no arguments" in capsys.readouterr().err
    assert main(["export", "two.py", "-o", "x.zip"]) == 3
    assert "'casaprov run'" in capsys.readouterr().err


SHELL_SCRIPT = """\
execfile("more.py")
listobs(vis=vis, listfile="n.txt")
flagdata(vis=vis, autocorr=True)
tb.open(vis)
rows = tb.nrows()
tb.close()
print(rows, sys.argv[1:], qa.convert("1deg", "arcmin")["value"])
"""


@pytest.mark.long
@pytest.mark.casa
def test_a_script_of_the_casa_shell_is_recorded_and_replayed(
    tmp_path: Path, ngc5921_fits: Path, casa_site_config: object, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "shell"
    folder.mkdir()
    shutil.copy(ngc5921_fits, folder / "NGC5921.fits")
    (folder / "more.py").write_text("vis = 'n.ms'\nimportuvfits(fitsfile='NGC5921.fits', vis=vis)\n")
    (folder / "red.py").write_text(SHELL_SCRIPT)
    code, printed, errors = _run(folder, ["-m", "casaprov", "run", "red.py", "--casa-shell", "--", "-c", "2"])
    assert code == 0, errors
    assert printed.splitlines()[-1] == "22653 ['-c', '2'] 60.0"
    os.chdir(folder)
    document = read_document(folder / ".casaprov" / "red.py", "red.py")
    assert [a.task for a in document.activities] == ["importuvfits", "listobs", "flagdata"]
    first = document.activities[0].step
    assert first is not None
    assert [(line.path, line.line) for line in first.scripts] == [("red.py", 1), ("more.py", 2)]
    assert main(["export", "red.py", "-o", "red.crate.zip"]) == 0
    capsys.readouterr()
    assert main(["replay", "red.crate.zip", "--work", "again"]) == 0


@pytest.mark.long
def test_a_script_that_a_notebook_runs_is_in_its_crate(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "notebook")
    notebook = write_notebook(folder / "n.ipynb", ["%load_ext casaprov", "%run two.py 0"])
    main(["run", str(notebook)])
    document = read_document(folder / ".casaprov" / "n", "n.ipynb")
    assert [line.path for a in document.activities if a.step for line in a.step.scripts] == ["two.py", "two.py"]
    os.chdir(folder)
    assert main(["export", str(notebook), "-o", "n.crate.zip"]) == 0
    assert main(["validate", "n.crate.zip"]) == 0
    with zipfile.ZipFile(folder / "n.crate.zip") as archive:
        stored = [name for name in archive.namelist() if name.startswith("records/scripts/")]
        assert [archive.read(name).decode() for name in stored] == [SCRIPT]
