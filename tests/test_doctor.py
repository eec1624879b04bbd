"""casaprov.doctor and casaprov.casa.checks: what is missing is found, and its remedy named."""

from __future__ import annotations

import errno
import importlib
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import pytest

from casaprov import doctor
from casaprov.casa import checks
from casaprov.casa.installed.data import DataSource
from casaprov.casa.installed.environment import measures_tables
from casaprov.doctor import Finding, clones_files, examine
from casaprov.errors import CasaMissing
from checkout import ROOT

EXAMINE = """
import dataclasses, json
from casaprov.casa import checks
from casaprov.doctor import examine
print(json.dumps({finding.name: dataclasses.asdict(finding) for finding in examine(checks.CHECKS)}))
"""


def findings_of(python: Path, home: Path) -> dict[str, dict[str, str]]:
    """What the checks about CASA find with another Python, for a user without any configuration."""
    environ = {key: value for key, value in os.environ.items() if key not in {"CASASITECONFIG", "XDG_CACHE_HOME"}}
    environ["HOME"] = str(home)
    done = subprocess.run([python, "-c", EXAMINE], check=True, capture_output=True, text=True, env=environ)
    found: dict[str, dict[str, str]] = json.loads(done.stdout)
    return found


def test_every_finding_about_the_machine_is_told_and_mended() -> None:
    found = tuple(examine())
    assert [finding.name for finding in found] == [
        "Python", "Jupyter", "git", "Xvfb", "Graphviz", "memory", "disk space here", "disk space of the cache", "reflinks",
    ]  # fmt: skip
    for finding in found:
        assert finding.message.endswith(".")
        assert bool(finding.remedy) == (finding.status != "ok")


def test_the_pythons_that_run_these_tests_are_right() -> None:
    assert doctor.python().status == "ok"


def test_the_shell_of_casa_is_found_or_said_to_be_missing(python_without: Callable[..., Path]) -> None:
    assert checks.shell().status == "ok"
    code = "from casaprov.casa import checks; found = checks.shell(); print(found.status, found.remedy)"
    done = subprocess.run([python_without("casashell"), "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == f"warning Run 'pip install casashell=={checks.RELEASES[sys.version_info[:2]]}'.\n"


def test_a_check_that_breaks_becomes_a_finding() -> None:
    def broken_thing() -> Finding:
        raise ZeroDivisionError("oh")

    (first, second) = examine((broken_thing, doctor.python))
    assert (first.name, first.status) == ("broken thing", "warning")
    assert "ZeroDivisionError('oh')" in first.message
    assert second.name == "Python"


def test_programs_that_are_not_on_the_path_are_found_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "apt-get install xvfb" in doctor.xvfb().remedy
    assert "apt-get install git" in doctor.git().remedy


def test_programs_on_the_path_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "Xvfb").write_text("#!/bin/sh\n")
    (tmp_path / "Xvfb").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert doctor.xvfb() == Finding("Xvfb", "ok", f"Xvfb is at {tmp_path / 'Xvfb'}.")


def test_little_disk_space_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=2**30))
    finding = doctor.disk_here()
    assert finding.status == "warning"
    assert finding.message.startswith("1.0 GiB are free")


def test_a_cache_folder_that_does_not_exist_yet_is_measured_where_it_will_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "not" / "yet"))
    assert str(tmp_path / "not" / "yet" / "casaprov") in doctor.disk_cache().message


def test_looking_for_reflinks_leaves_nothing_behind(tmp_path: Path) -> None:
    assert clones_files(tmp_path) in {True, False}
    assert list(tmp_path.iterdir()) == []


def test_reflinks_agree_with_what_cp_can_do(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 4096)
    done = subprocess.run(
        ["cp", "--reflink=always", tmp_path / "a", tmp_path / "b"], check=False, capture_output=True, text=True
    )
    assert clones_files(tmp_path) == (done.returncode == 0)


def test_a_folder_without_space_for_a_file_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    finding = doctor.reflinks()
    assert finding.status == "warning"
    assert "No space left on device" in finding.message


def test_memory_is_limited_by_what_is_there() -> None:
    assert 0 < doctor._available_memory_bytes() < 2**50


@pytest.mark.casa
def test_casa_and_its_data_are_found(casa_site_config: DataSource, casadata_path: Path) -> None:
    found = {finding.name: finding for finding in examine(checks.CHECKS)}
    assert found["CASA"].status == "ok", found["CASA"]
    assert found["CASA data"].status == "ok"
    assert str(casadata_path) in found["CASA data"].message
    assert found["python-casacore"].status == "ok"


@pytest.mark.casa
def test_examining_casa_leaves_no_log_behind(casa_site_config: DataSource) -> None:
    checks.casa()
    assert list(Path.cwd().iterdir()) == []


def test_leap_seconds_are_fresh_a_year_long(casa_site_config: DataSource, casadata_path: Path) -> None:
    oldest = min(day for day, _ in measures_tables(casadata_path).values())
    assert checks.leap_seconds(oldest).status == "ok"
    finding = checks.leap_seconds(date(oldest.year + 2, 1, 1))
    assert finding.status == "warning"
    assert "seems out-of-date" in finding.message
    assert f"observed before {oldest.isoformat()} are not affected" in finding.message
    assert "pip install --upgrade casadata" in finding.remedy


def test_without_data_their_package_is_named(python_without: Callable[..., Path], tmp_path: Path) -> None:
    found = findings_of(python_without("casadata"), tmp_path)
    for name in ("CASA", "CASA data", "leap seconds"):
        assert found[name]["status"] == "missing"
        assert "pip install casadata" in found[name]["remedy"]


def test_without_casa_the_release_for_this_python_is_named(python_without: Callable[..., Path], tmp_path: Path) -> None:
    found = findings_of(python_without("casatasks"), tmp_path)
    assert found["CASA"]["status"] == "missing"
    assert f"casatools=={checks.RELEASES[sys.version_info[:2]]}" in found["CASA"]["remedy"]


@pytest.mark.casa
def test_without_python_casacore_digests_are_slower(python_without: Callable[..., Path], tmp_path: Path) -> None:
    found = findings_of(python_without("python-casacore", "casacore"), tmp_path)
    assert found["python-casacore"]["status"] == "warning"
    assert "pip install python-casacore" in found["python-casacore"]["remedy"]
    assert found["CASA"]["status"] == "ok"


def test_the_release_whose_openssl_does_not_fit_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    # What 6.7.6.14 says on Debian 12; its wheel is too large to be fetched for a test.
    message = "CASA does not load: libcrypto.so.3: version `OPENSSL_3.0.1' not found (required by libssl.so.3)."
    monkeypatch.setattr(checks, "_in_child", lambda _: {"kind": "CasaMissing", "message": message, "hint": ""})
    monkeypatch.setattr(checks, "installed_version", lambda _: "6.7.6.14")
    finding = checks.casa()
    assert "casatools 6.7.6.14 brings a libssl that does not fit" in finding.message
    assert f"casatools=={checks.RELEASES[sys.version_info[:2]]}" in finding.remedy


def test_an_import_that_crashes_does_not_take_the_doctor_along() -> None:
    assert checks._in_child("import os; os.abort()") == {"kind": "Crash", "message": "The import ended with signal 6."}


def test_an_import_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "_IMPORT_TIMEOUT_S", 0.5)
    assert checks._in_child("import time; time.sleep(60)")["kind"] == "Timeout"


def test_the_releases_are_those_that_the_project_pins() -> None:
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["casa"]
    for package in ("casatasks", "casatools"):
        pins = [re.match(rf"{package}==(\S+); python_version .= '(.*)'", line) for line in extra]
        pinned = {pin[2]: pin[1] for pin in pins if pin}
        assert pinned == {"3.11": checks.RELEASES[3, 11], "3.12": checks.RELEASES[3, 12]}
    assert checks.RELEASES[3, 13] == checks.RELEASES[3, 12]


def _needs_casa() -> Finding:
    raise CasaMissing("CASA's configuration cannot be read.", hint="Install CASA.")


def _needs_a_library() -> Finding:
    importlib.import_module("no_such_library")
    raise AssertionError


def test_a_check_that_needs_what_is_missing_finds_it_missing() -> None:
    casa, library = examine((_needs_casa, _needs_a_library))
    assert casa == Finding("needs casa", "missing", "CASA's configuration cannot be read.", "Install CASA.")
    assert (library.name, library.status) == ("needs a library", "missing")
    assert "the Python package no_such_library is not installed" in library.message
