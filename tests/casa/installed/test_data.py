"""CASA finds its data, or a sentence names the remedy."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from casaprov.casa.installed.data import casadata_path as installed_casadata

TELL = """
import json, os, sys
from casaprov.casa.installed import data
from casaprov.errors import MissingDependency
source = data.prepare()
told = {"origin": source.origin, "variable": os.environ.get("CASASITECONFIG")}
try:
    casatasks = data.import_casatasks()
    import casatools
    told["version"] = casatasks.version_string()
    told["measures"] = casatools.ctsys.measurespath()
    told["found"] = casatools.ctsys.resolve("geodetic/TAI_UTC")
except MissingDependency as error:
    told["error"] = type(error).__name__
    told["message"] = error.message
    told["hint"] = error.hint
print(json.dumps(told))
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


def told(home: Path, *, python: Path | None = None, code: str = TELL, **environ: str) -> dict[str, str]:
    """Run `code` in a fresh process of a fresh user and return the object of its last line."""
    plain = {key: value for key, value in os.environ.items() if key not in {"CASASITECONFIG", "XDG_CACHE_HOME"}}
    if python is None:
        plain["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        [python or sys.executable, "-c", code],
        env={**plain, "HOME": str(home), **environ},
        check=True,
        capture_output=True,
        text=True,
    )
    found: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_the_installed_data_are_found_without_importing_anything() -> None:
    code = (
        "import json, sys; from casaprov.casa.installed.data import casadata_path;"
        "print(json.dumps([str(casadata_path()), sorted({'casadata', 'casatools', 'casaconfig'} & set(sys.modules))]))"
    )
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environ)
    path, loaded = json.loads(done.stdout)
    assert Path(path, "geodetic", "IERSeop2000").is_dir()
    assert loaded == []


@pytest.mark.long
@pytest.mark.casa
def test_casa_runs_on_the_installed_data_of_a_user_without_configuration(home: Path, casadata_path: Path) -> None:
    found = told(home)
    assert found["origin"] == "casadata"
    assert found["measures"] == str(casadata_path)
    assert found["found"] == str(casadata_path / "geodetic" / "TAI_UTC")
    assert Path(found["variable"]).is_relative_to(home / ".cache" / "casaprov")


@pytest.mark.casa
def test_nothing_of_the_users_is_written(home: Path, casadata_path: Path) -> None:
    told(home)
    assert not (home / ".casa").exists()
    assert {path.name for path in home.iterdir()} <= {".cache", ".config"}  # the latter is matplotlib's


def test_preparing_twice_writes_once(home: Path, casadata_path: Path) -> None:
    code = "import json; from casaprov.casa.installed import data; data.prepare(); print(json.dumps({}))"
    told(home, code=code)
    (written,) = (home / ".cache" / "casaprov" / "casa").iterdir()
    before = written.stat().st_mtime_ns
    told(home, code=code)
    assert [path.name for path in written.parent.iterdir()] == [written.name]
    assert written.stat().st_mtime_ns == before


def test_many_processes_may_prepare_at_once(home: Path, casadata_path: Path) -> None:
    code = (
        "from casaprov.casa.installed import data; print(open(data.prepare().site_config).read().count('measurespath'))"
    )
    plain = {key: value for key, value in os.environ.items() if key not in {"CASASITECONFIG", "XDG_CACHE_HOME"}}
    environ = {**plain, "HOME": str(home), "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    started = [
        subprocess.Popen([sys.executable, "-c", code], env=environ, stdout=subprocess.PIPE, text=True) for _ in range(6)
    ]
    assert [process.communicate()[0].strip() for process in started] == ["1"] * 6
    assert len(list((home / ".cache" / "casaprov" / "casa").iterdir())) == 1


def test_a_home_that_cannot_be_written_to_does_no_harm(home: Path, casadata_path: Path, tmp_path: Path) -> None:
    (home / ".cache").write_text("a file where the folder should be")
    code = (
        "import json, os; from casaprov.casa.installed import data; data.prepare(); print(json.dumps(dict(os.environ)))"
    )
    variable = told(home, code=code, TMPDIR=str(tmp_path))["CASASITECONFIG"]
    assert str(casadata_path) in Path(variable).read_text()


def test_a_site_configuration_in_the_environment_is_left_alone(home: Path, tmp_path: Path) -> None:
    site = tmp_path / "site.py"
    site.write_text("measurespath = '/data'\n")
    code = (
        "import json, os; from casaprov.casa.installed import data; source = data.prepare();"
        "print(json.dumps({'origin': source.origin, 'variable': os.environ['CASASITECONFIG'],"
        " 'folders': str(data.data_folders()[0])}))"
    )
    found = told(home, code=code, CASASITECONFIG=str(site))
    assert found == {"origin": "site", "variable": str(site), "folders": "/data"}
    assert not (home / ".cache").exists()


def test_a_site_configuration_from_a_parent_with_other_data_is_replaced(home: Path, casadata_path: Path) -> None:
    theirs = home / ".cache" / "casaprov" / "casa" / "site-of-another-python.py"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("measurespath = '/another'\n")
    code = (
        "import json, os; from casaprov.casa.installed import data; data.prepare(); print(json.dumps(dict(os.environ)))"
    )
    found = told(home, code=code, CASASITECONFIG=str(theirs))
    assert str(casadata_path) in Path(found["CASASITECONFIG"]).read_text()


@pytest.mark.casa
def test_the_users_own_configuration_wins(home: Path, casadata_path: Path, tmp_path: Path) -> None:
    mine = tmp_path / "my-data"
    mine.symlink_to(casadata_path)
    (home / ".casa").mkdir()
    (home / ".casa" / "config.py").write_text(f"measurespath = {str(mine)!r}\n")
    assert told(home)["measures"] == str(mine)


@pytest.mark.casa
def test_without_data_the_error_says_what_to_install_and_does_not_wait(
    home: Path, python_without: Callable[..., Path]
) -> None:
    started = time.monotonic()
    found = told(home, python=python_without("casadata"))
    assert time.monotonic() - started < 10
    assert found["origin"] == "user"
    assert found["error"] == "CasaDataMissing"
    assert str(home / ".casa" / "data") in found["message"]
    assert "pip install casadata" in found["hint"]


@pytest.mark.casa
def test_an_empty_data_folder_does_not_make_casa_reach_for_the_network(
    home: Path, python_without: Callable[..., Path]
) -> None:
    (home / ".casa" / "data").mkdir(parents=True)
    assert told(home, python=python_without("casadata"))["error"] == "CasaDataMissing"
    assert list((home / ".casa" / "data").iterdir()) == []


@pytest.mark.casa
def test_data_that_only_the_users_configuration_names_are_used(
    home: Path, python_without: Callable[..., Path], casadata_path: Path
) -> None:
    (home / ".casa").mkdir()
    text = f"measurespath = {str(casadata_path)!r}\nmeasures_auto_update = data_auto_update = False\n"
    (home / ".casa" / "config.py").write_text(text)
    found = told(home, python=python_without("casadata"))
    assert found["origin"] == "user"
    assert found["measures"] == str(casadata_path)


@pytest.mark.casa
def test_updates_can_be_forbidden_whatever_the_users_configuration_says(home: Path) -> None:
    (home / ".casa").mkdir()
    (home / ".casa" / "config.py").write_text("measures_auto_update = data_auto_update = True\n")
    code = (
        "import json; from casaprov.casa.installed.data import prepare, forbid_updates; prepare();"
        "from casaconfig import config; before = config.measures_auto_update; forbid_updates();"
        "print(json.dumps({'before': str(before), 'after': str(config.measures_auto_update or config.data_auto_update)}))"
    )
    assert told(home, code=code) == {"before": "True", "after": "False"}


def test_a_site_configuration_that_does_not_exist_is_named(home: Path, python_without: Callable[..., Path]) -> None:
    found = told(home, python=python_without("casadata"), CASASITECONFIG="/nowhere/site.py")
    assert found["error"] == "CasaDataMissing"
    assert "/nowhere/site.py, which does not exist" in found["message"]


@pytest.mark.parametrize("lacking", [("casatasks",), ("casatasks", "casatools", "casaconfig")])
def test_without_casa_the_error_says_what_to_install(
    lacking: tuple[str, ...], home: Path, python_without: Callable[..., Path]
) -> None:
    found = told(home, python=python_without(*lacking))
    assert found["error"] == "CasaMissing"
    assert '[casa]"' in found["hint"]


def test_casa_that_does_not_load_says_why(home: Path, python_without: Callable[..., Path]) -> None:
    found = told(home, python=python_without("casatools"))
    assert found["error"] == "CasaMissing"
    assert "casatools" in found["message"]


def test_the_package_is_found_where_it_is_installed(casadata_path: Path) -> None:
    assert installed_casadata() == casadata_path
