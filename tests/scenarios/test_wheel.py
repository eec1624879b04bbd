"""The wheel: it holds all that casaprov needs, and works where there is neither a checkout nor git.

It is installed into an empty environment. CASA and the other libraries are those of the environment that runs the
tests, found by their folder: they would be 700 MB to download.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from checkout import EXAMPLES, ROOT


@dataclass(frozen=True)
class Installed:
    """An environment with casaprov in it, and a folder to work in that has nothing to do with the checkout."""

    environment: Path
    folder: Path

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment; of the system's programs all but git are found."""
        program = self.environment / "bin" / command[0]
        environ = {
            "PATH": f"{self.environment / 'bin'}{os.pathsep}{self.environment / 'system'}",
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            # Byte code of other people's packages is not written where they are.
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        return subprocess.run(
            [str(program), *command[1:]], cwd=self.folder, env=environ, check=False, capture_output=True, text=True
        )

    def done(self, *command: str) -> str:
        """Run a program that must succeed; return what it printed."""
        done = self.run(*command)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def _all_programs_but_git(folder: Path) -> None:
    # CASA's tasks run cp, chmod and others.
    folder.mkdir()
    for place in map(Path, ("/usr/bin", "/bin")):
        for program in place.iterdir():
            link = folder / program.name
            if not program.name.startswith("git") and not link.is_symlink():
                link.symlink_to(program)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    environment = tmp_path_factory.mktemp("installed") / "venv"
    venv.create(environment, with_pip=False, symlinks=True)
    python = environment / "bin" / "python"
    (wheel,) = built.glob("*.whl")
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", "--no-index", "--no-deps", str(wheel)], check=True)
    (packages,) = environment.glob("lib/python*/site-packages")
    others = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    _all_programs_but_git(environment / "system")
    # The folder comes after the environment's own, and what an editable installation says in it is not read.
    (packages / "others.pth").write_text("".join(f"{folder}\n" for folder in sorted(others)))
    return Installed(environment, tmp_path_factory.mktemp("elsewhere"))


def test_the_wheel_holds_what_is_no_python(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {f"casaprov/{path.relative_to(ROOT)}" for path in (ROOT / "schemas").rglob("*") if path.is_file()} <= names
    assert {"casaprov/tasks/taskspecs.toml", "casaprov/py.typed", "casaprov/notebook/logo/logo-svg.svg"} <= names
    assert {name.partition("/")[0] for name in names} == {
        "casaprov",
        f"{'-'.join(wheel.name.split('-')[:2])}.data",
        f"{'-'.join(wheel.name.split('-')[:2])}.dist-info",
    }


def test_the_source_archive_holds_what_tests_and_documentation_need(built: Path) -> None:
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}
    assert {"mkdocs.yml", "docs/index.md", "tests/conftest.py", "examples/ngc5921.ipynb", "LICENSE"} <= names
    assert not [name for name in names if "__pycache__" in name or name.startswith(".venv")]


def test_it_is_the_wheel_that_runs(installed: Installed) -> None:
    where = installed.done("python", "-c", "import casaprov; print(casaprov.__file__, casaprov.__version__)")
    file, version = where.split()
    assert Path(file).is_relative_to(installed.environment)
    assert f"casaprov, version {version}" in installed.done("casaprov", "--version")
    assert "Commands:" in installed.done("casaprov", "--help")


def test_schemas_and_task_tables_are_found(installed: Installed) -> None:
    code = """
import json
from casaprov.records.schema import schema_names, validate_record
from casaprov.tasks.specs import load_specs
from casaprov.errors import SchemaError
try:
    validate_record({}, "document-1")
except SchemaError as error:
    print(json.dumps([sorted(schema_names()), "gaincal" in load_specs(), len(error.issues) > 0]))
"""
    names, known, refused = json.loads(installed.done("python", "-c", code))
    assert names == sorted(path.name.removesuffix(".schema.json") for path in (ROOT / "schemas").glob("*.schema.json"))
    assert known
    assert refused


def test_jupyter_server_finds_its_extension(installed: Installed) -> None:
    config = installed.environment / "etc" / "jupyter" / "jupyter_server_config.d" / "casaprov.json"
    assert json.loads(config.read_text())["ServerApp"]["jpserver_extensions"] == {"casaprov.notebook.server": True}


@pytest.mark.long
@pytest.mark.casa
def test_the_doctor_finds_no_more_than_git_missing(installed: Installed) -> None:
    done = installed.run("casaprov", "doctor", "--json")
    found = {finding["name"]: finding for finding in json.loads(done.stdout)}
    assert found["git"]["status"] == "warning"
    assert found["CASA"]["status"] == "ok"
    assert found["Jupyter"]["status"] == "ok"
    assert {name for name, finding in found.items() if finding["status"] == "missing"} <= {"confinement"}


@pytest.mark.casa
@pytest.mark.long
def test_the_demo_runs_from_the_wheel_without_git(installed: Installed) -> None:
    (installed.folder / "ngc5921.ipynb").write_bytes((EXAMPLES / "ngc5921.ipynb").read_bytes())
    installed.done("casaprov", "run", "ngc5921.ipynb", "--output", "run/ngc5921.ipynb")
    installed.done("casaprov", "export", "run/ngc5921.ipynb", "-o", "ngc5921.crate.zip")
    installed.done("casaprov", "validate", "ngc5921.crate.zip")
    report = json.loads(installed.done("casaprov", "replay", "ngc5921.crate.zip", "--work", "again", "--json"))
    final = [product["comparison"]["verdict"] for product in report["products"] if product["final"]]
    assert final == ["same-content"] * 19  # of others, some may have been changed before they were digested
    (session,) = json.loads(installed.done("casaprov", "inspect", "ngc5921.crate.zip", "--json"))["sessions"]
    assert session["environment"].get("git") is None
