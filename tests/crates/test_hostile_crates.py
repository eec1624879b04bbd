"""Crates that somebody made to do harm when they are replayed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from casaprov.casa.installed.data import DataSource
from casaprov.casa.sandbox.confine import landlock_version
from casaprov.cli.commands import main
from hostile_crates import MS, Call, HostileCrates, make_input, running
from made_once import made_once
from terminal_signals import in_a_terminal

pytestmark = [
    pytest.mark.casa,
    pytest.mark.slow,
    pytest.mark.skipif(not landlock_version(), reason="this kernel has no Landlock (Linux 5.13)"),
]

TOKEN = "the password"
VERSIONS = f"{MS}.flagversions"
IMAGE: dict[str, Any] = {"vis": MS, "imsize": 32, "cell": "30arcsec", "niter": 0}

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
    (precious / "secret.txt").write_text(TOKEN)
    (precious / "sub" / "data").write_text("years of work")
    return precious


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    return make_precious(tmp_path)


@pytest.fixture(scope="module")
def crates(casa_site_config: DataSource, ngc5921_fits: Path, tmp_path_factory: pytest.TempPathFactory) -> HostileCrates:
    folder = made_once(tmp_path_factory, "hostile-input", lambda folder: make_input(folder, ngc5921_fits))
    return HostileCrates.of(folder / MS)


def replay(crate: Path, *options: str) -> tuple[int, Path]:
    work = crate.with_name("again")
    return main(["replay", str(crate), "--work", str(work), *options]), work


@dataclass(frozen=True)
class Attack:
    """A replay of a crate whose calls do harm, and what lay beside its work folder before and after."""

    folder: Path
    work: Path
    code: int
    before: Contents
    after: Contents

    @property
    def report(self) -> dict[str, Any]:
        return dict(json.loads((self.work / "replay-report.json").read_text()))

    def product(self, path: str) -> dict[str, Any]:
        """Return the verdict on a product."""
        return next(dict(p["comparison"]) for p in self.report["products"] if p["path"] == path)


def attacking(precious: Path) -> Iterator[Call]:
    """Yield the calls of one crate: those that disturb others come last."""
    yield running(
        ";".join(
            (
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
        )
    )
    climbing = "x/../../../precious/evil"
    yield Call("flagmanager", {"vis": MS, "mode": "save", "versionname": climbing})
    # The call cannot read the file, but what verifies the product could.
    link = f"rm {VERSIONS}/FLAG_VERSION_LIST;ln -s {precious}/secret.txt {VERSIONS}/FLAG_VERSION_LIST"
    yield running(link, makes={VERSIONS: ("Directory", None)})
    yield Call("tclean", {**IMAGE, "imagename": f"{precious}/image"})
    yield Call("tclean", {**IMAGE, "imagename": "~/image"})
    # What the replay itself writes, removes or copies later, led to the user's folder.
    yield running(
        ";".join(
            (
                "rm -r .casaprov",
                *(f"ln -s {precious} {name}" for name in (".casaprov", "n.gcal", "n.image", "n.txt2", "_elsewhere/n")),
                f"ln -s {precious}/secret.txt replay-report.json",
                f"ln -s {precious}/secret.txt n.fits",
            )
        )
    )
    gains = {"vis": MS, "caltable": "n.gcal", "caltype": "amp", "parameter": [1.1]}
    yield Call("gencal", gains, makes={"n.gcal": ("CalibrationTable", "caltable")})
    yield Call("tclean", {**IMAGE, "imagename": "n"}, makes={"n.image": ("Image", "imagename")})
    export = {"imagename": "n.image", "fitsimage": "n.fits"}
    yield Call("exportfits", export, {"n.fits": ("FITS", "fitsimage")}, {"n.image": "imagename"})
    yield Call("listobs", {"vis": MS, "listfile": "n.txt2"}, {"n.txt2": ("File", "listfile")})


@pytest.fixture(scope="module")
def attack(crates: HostileCrates, tmp_path_factory: pytest.TempPathFactory) -> Attack:
    """One replay for all calls."""
    folder = tmp_path_factory.mktemp("attack")
    precious = make_precious(folder)
    before = contents(precious)
    crate = crates.write(folder / "hostile.zip", attacking(precious))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REPOSITORY_TOKEN", TOKEN)
        patch.setenv("HOME", str(precious))
        code, work = replay(crate)
    return Attack(folder, work, code, before, contents(precious))


@pytest.mark.long
def test_a_parameter_that_is_a_program_reaches_nothing_outside(attack: Attack) -> None:
    assert (attack.work / "ran").exists(), "this CASA does not evaluate the parameter: the test proves nothing"
    assert not (attack.work / "stolen").exists()


def test_nothing_that_a_call_names_or_runs_changes_the_users_files(attack: Attack) -> None:
    """Programs, version names that climb, absolute names, names below the home folder, links at later outputs."""
    assert {step["action"] for step in attack.report["steps"]} == {"run"}
    assert attack.after == attack.before
    assert not (attack.folder / "evil").exists()


def test_a_call_sees_no_token_of_the_users(attack: Attack) -> None:
    seen = (attack.work / "seen").read_text()
    assert "PATH=" in seen
    assert TOKEN not in seen


def test_a_process_left_behind_ends_with_the_replay(attack: Attack) -> None:
    command = Path("/proc", (attack.work / "pid").read_text().strip(), "cmdline")
    # Until somebody asks for its exit status, a dead process is there, with no command.
    assert not command.exists() or b"sleep" not in command.read_bytes()


def test_links_that_a_call_leaves_behind_lead_nobody_outside(attack: Attack) -> None:
    assert not (attack.work / "replay-report.json").is_symlink()
    assert TOKEN not in "".join(path.read_text(errors="replace") for path in attack.work.glob("*.json"))
    assert attack.report["confined"] is True
    for path in ("n.gcal", "n.image", "n.fits", "n.txt2"):
        assert attack.product(path)["verdict"] not in ("identical", "same-content"), path


def test_a_link_below_a_product_tells_nothing_of_what_it_leads_to(attack: Attack) -> None:
    assert attack.product(VERSIONS)["verdict"] == "not-verifiable"
    assert (
        f"{VERSIONS}/FLAG_VERSION_LIST is a link that leads out of the work folder" in attack.product(VERSIONS)["note"]
    )


def test_what_differs_is_told_by_the_exit_code(attack: Attack) -> None:
    assert attack.code == 1


@pytest.mark.long
def test_a_name_that_climbs_out_of_the_folder_ends_there(
    crates: HostileCrates, tmp_path: Path, precious: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = [Call("tclean", {**IMAGE, "imagename": "../precious/image"})]
    with unharmed(precious):
        replay(crates.write(tmp_path / "hostile.zip", calls))
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.long
def test_calls_that_reach_a_limit_or_abort_end_alone_and_are_told(
    crates: HostileCrates, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grab = 'touch ran;mkdir replay-report.json;exec python3 -c "x=[bytes(10**8)for(i)in(range(10**9))]"'
    calls = [
        running(grab),
        running("kill -ABRT $PPID;sleep 9"),
        Call("listobs", {"vis": MS, "listfile": "n.txt"}, {"n.txt": ("File", "listfile")}),
    ]
    code, work = replay(crates.write(tmp_path / "hostile.zip", calls), "--limit", "memory=2GB")
    assert code == 3
    assert (work / "ran").exists()
    assert (work / "n.txt").exists()
    report = json.loads((work / "replay-report.json").read_text())
    assert [step["action"] for step in report["steps"]] == ["blocked", "blocked", "run"]
    printed = " ".join(capsys.readouterr().out.split())
    assert "the limit memory is 2 GB" in printed
    assert "CASA ended while it ran" in printed
    assert "6 (SIGABRT)" in printed


def test_unconfined_is_what_it_says(crates: HostileCrates, tmp_path: Path, precious: Path) -> None:
    _, work = replay(crates.write(tmp_path / "hostile.zip", [running(f"touch {precious}/mine")]), "--unconfined")
    assert (precious / "mine").exists()
    assert json.loads((work / "replay-report.json").read_text())["confined"] is False


@pytest.mark.parametrize(
    "name", ["SIGTERM", *(pytest.param(name, marks=pytest.mark.long) for name in ("SIGINT", "SIGHUP", "SIGKILL"))]
)
def test_a_process_left_behind_ends_with_a_replay_that_a_signal_ends(
    crates: HostileCrates, tmp_path: Path, name: str
) -> None:
    if name == "SIGKILL" and landlock_version() < 6:
        pytest.skip("before Linux 6.12 a confined process may send no signals")
    crate = crates.write(tmp_path / "hostile.zip", [running("sleep 1000& echo $!>pid; sleep 1000")])
    before = sorted(path.name for path in tmp_path.iterdir())
    work = tmp_path / "again"
    command = in_a_terminal("-m", "casaprov", "replay", str(crate), "--work", str(work))
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
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["again", *before])


@pytest.mark.long
def test_a_python_of_another_environment_is_confined_too(
    crates: HostileCrates, tmp_path: Path, precious: Path, python_without: Callable[..., Path]
) -> None:
    python = python_without("roc_validator")
    crate = crates.write(tmp_path / "hostile.zip", [running(f"touch ran;touch {precious}/evil")])
    with unharmed(precious):
        _, work = replay(crate, "--python", str(python))
    assert python != Path(sys.executable)
    assert (work / "ran").exists()
