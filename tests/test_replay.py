"""Replay: the main job on real data, and every way in which it must fail properly."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from casaprov.cli.commands import main
from reductions import Reduction

pytestmark = [pytest.mark.casa, pytest.mark.slow]


def replay(crate: Path, work: Path, *options: object) -> int:
    return main(["replay", str(crate), "--work", str(work), *map(str, options)])


def rewritten(crate: Path, target: Path, change: Callable[[str, bytes], bytes | None]) -> Path:
    """Copy a crate, with every member changed by `change`; None leaves it out."""
    with zipfile.ZipFile(crate) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for info in old.infolist():
            data = change(info.filename, old.read(info))
            if data is not None:
                new.writestr(info, data)
    return target


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_every_product_of_a_replay_is_verified(
    reduction: Reduction, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert replay(reduction.crate, tmp_path / "again", "--data", reduction.data, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    verdicts = {p["path"]: p["comparison"]["verdict"] for p in report["products"]}
    assert {"n.ms", "n.gcal", "n.image", "n.psf", "n.fits", "n.txt"} <= verdicts.keys()
    assert set(verdicts.values()) <= {"identical", "same-content"}
    assert {step["action"] for step in report["steps"]} == {"run"}
    assert json.loads((tmp_path / "again" / "replay-report.json").read_text()) == report


@pytest.mark.long
def test_an_independent_reading_of_the_tables_agrees(reduction: Reduction, tmp_path: Path) -> None:
    assert replay(reduction.crate, tmp_path / "again", "--data", reduction.data) == 0
    code = """
import sys
import numpy as np
from casacore.tables import table

def cells(path, name):
    with table(path, ack=False) as t:
        return [t.getcell(name, row) if t.iscelldefined(name, row) else None for row in range(t.nrows())]

for path in ("n.ms", "n.ms/ANTENNA", "n.ms/SPECTRAL_WINDOW", "n.gcal", "n.image"):
    first, second = (f"{folder}/{path}" for folder in sys.argv[1:])
    with table(first, ack=False) as t:
        names = t.colnames()
    for name in names:
        for a, b in zip(cells(first, name), cells(second, name), strict=True):
            assert np.array_equal(a, b, equal_nan=getattr(a, "dtype", np.dtype("O")).kind in "fc"), (path, name)
"""
    subprocess.run([sys.executable, "-c", code, reduction.folder, tmp_path / "again"], check=True)


@pytest.mark.long
def test_an_edited_parameter_is_refused_and_differs_if_insisted_upon(
    reduction: Reduction, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def edit(name: str, data: bytes) -> bytes:
        return data.replace(b'"0:6~56"', b'"0:6~30"') if name == "records/document.json" else data

    crate = rewritten(reduction.crate, tmp_path / "edited.zip", edit)
    assert replay(crate, tmp_path / "refused", "--data", reduction.data) == 3
    assert "records/document.json" in capsys.readouterr().err
    assert replay(crate, tmp_path / "insisted", "--data", reduction.data, "--ignore-checksums", "--json") == 1
    report = json.loads(capsys.readouterr().out)
    assert {p["path"]: p["comparison"]["verdict"] for p in report["products"]}["n.gcal"] == "differs"


@pytest.mark.long
def test_a_call_that_fails_where_it_had_completed_is_no_verified_replay(
    reduction: Reduction, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also if it left nothing that could differ."""

    def edit(name: str, data: bytes) -> bytes:
        return re.sub(rb'("stretch":\s*)false', rb'\1"no mask"', data) if name == "records/document.json" else data

    crate = rewritten(reduction.crate, tmp_path / "edited.zip", edit)
    assert replay(crate, tmp_path / "again", "--data", reduction.data, "--ignore-checksums", "--json") == 1
    report = json.loads(capsys.readouterr().out)
    assert {step["task"] for step in report["steps"] if step["outcome"] == "failed"} == {"imstat"}
    assert {p["comparison"]["verdict"] for p in report["products"]} <= {"identical", "same-content"}


def test_another_file_of_the_same_name_is_no_input(
    reduction: Reduction, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    other = data / "NGC5921.fits"
    content = bytearray((reduction.data / "NGC5921.fits").read_bytes())
    content[200_000] ^= 1
    other.write_bytes(content)
    crate = without_file_locators(reduction, tmp_path)
    assert replay(crate, tmp_path / "again", "--data", data, "--ignore-checksums") == 3
    error = capsys.readouterr().err
    assert "other content" in error
    assert "--data" in error
    assert other.read_bytes() == bytes(content)


def test_a_missing_input_is_named_with_what_to_do(
    reduction: Reduction, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    crate = without_file_locators(reduction, tmp_path)
    assert replay(crate, tmp_path / "again", "--ignore-checksums") == 3
    error = capsys.readouterr().err
    assert "NGC5921.fits" in error
    assert "--data FOLDER" in error


def without_file_locators(reduction: Reduction, tmp_path: Path) -> Path:
    """The crate as it looks on a machine where the input is not where it was."""

    def change(name: str, data: bytes) -> bytes:
        where = str(reduction.data / "NGC5921.fits").encode()
        return data.replace(where, b"/nowhere/NGC5921.fits") if name == "records/document.json" else data

    return rewritten(reduction.crate, tmp_path / "moved.zip", change)


@pytest.mark.long
def test_an_input_under_another_name_is_found_by_its_content(reduction: Reduction, tmp_path: Path) -> None:
    data = tmp_path / "data" / "deep"
    data.mkdir(parents=True)
    shutil.copy(reduction.data / "NGC5921.fits", data / "renamed.uvfits")
    crate = without_file_locators(reduction, tmp_path)
    assert replay(crate, tmp_path / "again", "--data", tmp_path / "data", "--ignore-checksums") == 0


@pytest.mark.long
def test_what_is_named_relatively_is_found(
    reduction: Reduction, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    shutil.copy(reduction.data / "NGC5921.fits", "data")
    crate = without_file_locators(reduction, tmp_path).relative_to(tmp_path)
    (tmp_path / "casa").symlink_to(sys.prefix)
    assert replay(crate, Path("again"), "--data", "data", "--python", "casa/bin/python", "--ignore-checksums") == 0
    assert main(["export", str(reduction.notebook), "-o", "whole.zip", "--with-inputs"]) == 0
    with zipfile.ZipFile("whole.zip") as whole:
        whole.extractall("whole")
    assert replay(Path("whole"), Path("once-more")) == 0


@pytest.mark.parametrize("kept", [0.0, 0.5, 0.999])
def test_a_truncated_crate_is_said_to_be_one(
    reduction: Reduction, tmp_path: Path, capsys: pytest.CaptureFixture[str], kept: float
) -> None:
    whole = reduction.crate.read_bytes()
    crate = tmp_path / "cut.zip"
    crate.write_bytes(whole[: int(len(whole) * kept)])
    assert replay(crate, tmp_path / "again") == 3
    assert "truncated or damaged" in capsys.readouterr().err


def test_a_crate_without_records_is_said_to_be_one(
    reduction: Reduction, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    crate = rewritten(reduction.crate, tmp_path / "bare.zip", lambda n, d: None if n.startswith("records/") else d)
    assert replay(crate, tmp_path / "again") == 3
    assert "no casaprov records" in capsys.readouterr().err


def test_a_work_folder_with_something_in_it_is_not_touched(
    reduction: Reduction, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "precious.txt").write_text("mine")
    assert replay(reduction.crate, tmp_path) == 2
    assert "not empty" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["precious.txt"]


def test_without_casa_the_pip_line_is_told(
    reduction: Reduction, tmp_path: Path, python_without: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    python = python_without("casatasks", "casatools")
    assert replay(reduction.crate, tmp_path / "again", "--python", python) == 3
    assert "pip install" in capsys.readouterr().err


def test_without_casa_data_it_is_told_how_to_get_them(
    reduction: Reduction,
    tmp_path: Path,
    python_without: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("CASASITECONFIG", raising=False)
    python = python_without("casadata")
    assert replay(reduction.crate, tmp_path / "again", "--python", python) == 3
    assert "casadata" in capsys.readouterr().err


@pytest.mark.long
def test_casa_data_that_only_the_users_configuration_names_are_used(
    reduction: Reduction,
    tmp_path: Path,
    casadata_path: Path,
    python_without: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = tmp_path / ".casa" / "config.py"
    config.parent.mkdir()
    text = f"measurespath = {str(casadata_path)!r}\nmeasures_auto_update = True\ndata_auto_update = True\n"
    config.write_text(text)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("CASASITECONFIG", raising=False)
    work = tmp_path / "again"
    assert replay(reduction.crate, work, "--data", reduction.data, "--python", python_without("casadata")) == 0
    assert config.read_text() == text


@pytest.mark.long
def test_what_an_earlier_replay_computed_is_restored_and_verified(
    reduction: Reduction, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    restored = []
    for name in ("first", "second"):
        options = ("--data", reduction.data, "--cache", tmp_path / "cache", "--json")
        assert replay(reduction.crate, tmp_path / name, *options) == 0
        report = json.loads(capsys.readouterr().out)
        restored.append({step["task"] for step in report["steps"] if step.get("restored")})
        assert {p["comparison"]["verdict"] for p in report["products"]} <= {"identical", "same-content"}
        assert {step.get("same_return") for step in report["steps"]} <= {True, None}
    assert restored[0] == set()
    assert {"importuvfits", "gaincal", "tclean"} <= restored[1]
    assert not list(tmp_path.glob("*/.casaprov/store"))


@pytest.mark.long
def test_nothing_is_harmed_by_a_replay(reduction: Reduction, tmp_path: Path) -> None:
    before = contents(reduction.folder)
    replay(reduction.crate, tmp_path / "again", "--data", reduction.data)
    after = contents(reduction.folder)
    assert {name for name in before if before[name] != after.get(name)} == set()


@pytest.mark.skipif(
    subprocess.run(["unshare", "-rm", "true"], check=False, capture_output=True).returncode != 0,
    reason="this user may not mount a small file system (unshare -rm)",
)
@pytest.mark.parametrize("megabytes", [1, *(pytest.param(more, marks=pytest.mark.long) for more in (30, 60))])
def test_a_full_disk_ends_in_a_sentence(reduction: Reduction, tmp_path: Path, megabytes: int) -> None:
    work = tmp_path / "small"
    work.mkdir()
    before = reduction.crate.read_bytes()
    command = (
        f"mount -t tmpfs -o size={megabytes}m tmpfs {work} && "
        f"{sys.executable} -m casaprov replay {reduction.crate} --work {work}/again --data {reduction.data}"
    )
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", command], check=False, capture_output=True, text=True, env=os.environ
    )
    assert done.returncode == 3, done.stdout + done.stderr
    assert "space left" in done.stderr
    assert "Traceback" not in done.stderr
    assert reduction.crate.read_bytes() == before
