"""Crates that somebody made to do harm when they are replayed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from casaprov.casa.sandbox.confine import landlock_version
from casaprov.cli.commands import main
from reductions import Reduction
from terminal_signals import in_a_terminal

pytestmark = [
    pytest.mark.casa,
    pytest.mark.slow,
    pytest.mark.skipif(not landlock_version(), reason="this kernel has no Landlock (Linux 5.13)"),
]


def forged(crate: Path, target: Path, change: Callable[[dict[str, dict[str, Any]]], None]) -> Path:
    """Copy a crate with its calls changed; `change` gets them by task."""
    with zipfile.ZipFile(crate) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for info in old.infolist():
            data = old.read(info)
            if info.filename == "records/document.json":
                document = json.loads(data)
                change({activity["task"]: activity for activity in document["activities"]})
                data = json.dumps(document).encode()
            new.writestr(info, data)
    return target


def running(command: str) -> Callable[[dict[str, dict[str, Any]]], None]:
    """Change the call of flagdata to one that runs a shell command: CASA evaluates the limits of rflag."""
    assert "'" not in command
    shell = command.replace(" ", "${IFS}")

    def change(calls: dict[str, dict[str, Any]]) -> None:
        flagdata = calls["flagdata"]
        flags = f"mode='rflag' spw='0' antenna='1&2' timedev=__import__('os').system('{shell}')"
        flagdata["parameters"] |= {"mode": "list", "inpfile": [flags]}
        flagdata["given"] = sorted({*flagdata["given"], "mode", "inpfile"})

    return change


Contents = dict[str, bytes | None]


def contents(folder: Path) -> Contents:
    """Return what lies in a folder: the bytes of files, None for folders."""
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in folder.rglob("*")}


@contextmanager
def unharmed(folder: Path) -> Iterator[None]:
    """Check that what lies in a folder is the same afterwards."""
    before = contents(folder)
    yield
    assert contents(folder) == before


def make_precious(folder: Path) -> Path:
    """Make a folder of the user's, beside the work folder."""
    precious = folder / "precious"
    (precious / "sub").mkdir(parents=True)
    (precious / "secret.txt").write_text("the password")
    (precious / "sub" / "data").write_text("years of work")
    return precious


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    return make_precious(tmp_path)


def replay(reduction: Reduction, tmp_path: Path, change: Callable[[Any], None], *options: str) -> tuple[int, Path]:
    crate = forged(reduction.crate, tmp_path / "hostile.zip", change)
    work = tmp_path / "again"
    arguments = ["--data", str(reduction.data), "--ignore-checksums", *options]
    return main(["replay", str(crate), "--work", str(work), *arguments]), work


@dataclass(frozen=True)
class Attack:
    """A replay of a crate whose call runs commands, and what lay beside its work folder before and after."""

    folder: Path
    work: Path
    before: Contents
    after: Contents


@pytest.fixture(scope="module")
def attack(reduction: Reduction, tmp_path_factory: pytest.TempPathFactory) -> Attack:
    """One replay for all commands that do not disturb each other."""
    folder = tmp_path_factory.mktemp("attack")
    precious = make_precious(folder)
    commands = (
        "touch ran",
        f"touch {precious}/evil",
        f"rm -r {precious}",
        f"cp {precious}/secret.txt stolen",
        f"kill -9 {os.getpid()}",
        "touch $PWD/../evil",
        "env>seen",
        "cat /proc/$PPID/environ>>seen",
        "sleep 1000& echo $!>pid",
    )
    before = contents(precious)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REPOSITORY_TOKEN", "the password")
        _, work = replay(reduction, folder, running(";".join(commands)))
    return Attack(folder, work, before, contents(precious))


def test_a_parameter_that_is_a_program_reaches_nothing_outside(attack: Attack) -> None:
    assert (attack.work / "ran").exists(), "this CASA does not evaluate the parameter: the test proves nothing"
    assert attack.after == attack.before
    assert not (attack.work / "stolen").exists()
    assert not (attack.folder / "evil").exists()


def test_a_call_sees_no_token_of_the_users(attack: Attack) -> None:
    seen = (attack.work / "seen").read_text()
    assert "PATH=" in seen
    assert "the password" not in seen


def test_a_process_left_behind_ends_with_the_replay(attack: Attack) -> None:
    command = Path("/proc", (attack.work / "pid").read_text().strip(), "cmdline")
    # Until somebody asks for its exit status, a dead process is there, with no command.
    assert not command.exists() or b"sleep" not in command.read_bytes()


def test_unconfined_is_what_it_says(reduction: Reduction, tmp_path: Path, precious: Path) -> None:
    replay(reduction, tmp_path, running(f"touch {precious}/mine"), "--unconfined")
    assert (precious / "mine").exists()
    assert json.loads((tmp_path / "again" / "replay-report.json").read_text())["confined"] is False


def test_links_that_a_call_leaves_behind_lead_nobody_outside(
    reduction: Reduction, tmp_path: Path, precious: Path
) -> None:
    # What the replay itself writes, removes or copies later, led to the user's folder.
    commands = (
        "rm -r .casaprov",
        *(f"ln -s {precious} {name}" for name in (".casaprov", "n.gcal", "n.image", "n.txt2", "_elsewhere")),
        f"ln -s {precious}/secret.txt replay-report.json",
        f"ln -s {precious}/secret.txt n.fits",
    )
    with unharmed(precious):
        _, work = replay(reduction, tmp_path, running(";".join(commands)))
    assert not (work / "replay-report.json").is_symlink()
    assert "the password" not in "".join(p.read_text(errors="replace") for p in work.glob("*.json"))
    assert json.loads((work / "replay-report.json").read_text())["confined"] is True


def test_a_link_below_a_product_tells_nothing_of_what_it_leads_to(
    reduction: Reduction, tmp_path: Path, precious: Path
) -> None:
    # The call cannot read the file, but whoever verifies what it left could.
    versions = "n.ms.flagversions/FLAG_VERSION_LIST"
    _, work = replay(reduction, tmp_path, running(f"rm {versions};ln -s {precious}/secret.txt {versions}"))
    report = (work / "replay-report.json").read_text()
    assert "the password" not in report
    found = {p["path"]: p["comparison"] for p in json.loads(report)["products"] if p["final"]}
    assert found["n.ms.flagversions"]["verdict"] == "not-verifiable"
    assert f"{versions} is a link that leads out of the work folder" in found["n.ms.flagversions"]["note"]


def test_a_name_that_climbs_out_of_the_folder_ends_there(
    reduction: Reduction, tmp_path: Path, precious: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def change(calls: dict[str, dict[str, Any]]) -> None:
        call = calls["gaincal"]
        call["task"] = "flagmanager"
        call["parameters"] = {"vis": "n.ms", "mode": "save", "versionname": "x/../../../precious/evil"}
        call["given"] = sorted(call["parameters"])

    with unharmed(precious):
        code, _ = replay(reduction, tmp_path, change)
    assert code == 1
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("imagename", ["{precious}/image", "../precious/image", "~/image"])
def test_an_output_named_outside_is_made_inside_or_not_at_all(
    reduction: Reduction, tmp_path: Path, precious: Path, monkeypatch: pytest.MonkeyPatch, imagename: str
) -> None:
    def change(calls: dict[str, dict[str, Any]]) -> None:
        calls["tclean"]["parameters"]["imagename"] = imagename.format(precious=precious)

    monkeypatch.setenv("HOME", str(precious))
    with unharmed(precious):
        replay(reduction, tmp_path, change)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGKILL"])
def test_a_process_left_behind_ends_with_a_replay_that_a_signal_ends(
    reduction: Reduction, tmp_path: Path, name: str
) -> None:
    if name == "SIGKILL" and landlock_version() < 6:
        pytest.skip("before Linux 6.12 a confined process may send no signals")
    crate = forged(reduction.crate, tmp_path / "hostile.zip", running("sleep 1000& echo $!>pid; sleep 1000"))
    work = tmp_path / "again"
    options = ["--work", str(work), "--data", str(reduction.data), "--ignore-checksums"]
    command = in_a_terminal("-m", "casaprov", "replay", str(crate), *options)
    number = signal.Signals[name]
    replay = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 120
    while not (work / "pid").exists() or not (work / "pid").read_text().strip():
        assert replay.poll() is None
        assert time.monotonic() < end
        time.sleep(0.05)
    left = Path("/proc", (work / "pid").read_text().strip(), "cmdline")
    replay.send_signal(number)
    replay.send_signal(number) if name in ("SIGTERM", "SIGHUP") else None  # as timeout does
    error = replay.communicate(timeout=60)[1]
    end = time.monotonic() + 5
    while left.exists() and b"sleep" in left.read_bytes():
        assert time.monotonic() < end
        time.sleep(0.05)
    if name != "SIGKILL":
        by = "" if name == "SIGINT" else f" by {name}"
        assert f"Interrupted{by}. The products replayed so far are in {work}." in error
        assert replay.returncode == 128 + number
        assert sorted(path.name for path in tmp_path.iterdir()) == ["again", "hostile.zip"]


def test_a_python_of_another_environment_is_confined_too(
    reduction: Reduction, tmp_path: Path, precious: Path, python_without: Callable[..., Path]
) -> None:
    python = python_without("roc_validator")
    with unharmed(precious):
        _, work = replay(reduction, tmp_path, running(f"touch ran;touch {precious}/evil"), "--python", str(python))
    assert python != Path(sys.executable)
    assert (work / "ran").exists()
