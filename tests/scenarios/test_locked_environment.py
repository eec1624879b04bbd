"""The environment in a crate can be built again, file by file, and replays the crate."""

from __future__ import annotations

import shutil
import subprocess
import venv
import zipfile
from pathlib import Path

import pytest
import requests
import yaml

from casaprov.cli.commands import main
from casaprov.crates.layout import ENVIRONMENT
from casaprov.package_index.hashes import index_address
from checkout import ROOT
from reductions import Reduction

pytestmark = [pytest.mark.casa, pytest.mark.long, pytest.mark.timeout(1800)]


@pytest.fixture
def _index() -> None:
    try:
        requests.get(f"{index_address()}/six/", timeout=30).raise_for_status()
    except requests.RequestException as error:
        pytest.skip(f"the package index is out of reach: {error}")


@pytest.mark.usefixtures("_index")
def test_a_locked_environment_is_built_and_replays_the_crate(reduction: Reduction, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(reduction.folder, folder, ignore=shutil.ignore_patterns("*.zip"))
    crate = tmp_path / "n.zip"
    assert main(["export", str(folder / "n.ipynb"), "-o", str(crate), "--lock"]) == 0
    assert main(["validate", str(crate)]) == 0
    with zipfile.ZipFile(crate) as archive:
        pins = yaml.safe_load(archive.read(ENVIRONMENT))["dependencies"][2]["pip"]
    assert all(" --hash=sha256:" in pin for pin in pins)
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("".join(f"{pin}\n" for pin in pins))
    python = tmp_path / "venv" / "bin" / "python"
    venv.create(tmp_path / "venv", with_pip=True, symlinks=True)
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "--quiet", "install", "--no-deps"]
    pip += ["--require-hashes", "-r", str(requirements)]
    done = subprocess.run(pip, cwd=tmp_path, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (packages,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    (packages / "checkout-of-casaprov.pth").write_text(f"{ROOT}\n")  # it is installed from a folder, and not locked
    command = [str(python), "-P", "-m", "casaprov", "replay", str(crate), "--work", str(tmp_path / "replayed")]
    done = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "same-content" in done.stdout
