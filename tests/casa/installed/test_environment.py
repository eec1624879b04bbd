"""The environment of a session: versions, repository, container."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from importlib.metadata import version
from pathlib import Path

import pytest

from casaprov.casa.installed.data import DataSource, import_casatasks
from casaprov.casa.installed.environment import (
    container_name,
    current_environment,
    git_state,
    installed_distributions,
    measures_tables,
    without_credentials,
)
from casaprov.records.model import Environment
from casaprov.records.serialise import structure, unstructure


def _git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main"]
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "reduction"
    folder.mkdir()
    _git(folder, "init")
    (folder / "a.ipynb").write_text("{}")
    _git(folder, "add", "a.ipynb")
    _git(folder, "commit", "-m", "start")
    return folder


def test_the_environment_names_the_installed_versions(casa_site_config: DataSource, tmp_path: Path) -> None:
    environment = current_environment(tmp_path)
    assert environment.casatasks == version("casatasks")
    assert environment.casatools == version("casatools")
    assert environment.casadata == version("casadata")
    assert environment.python == platform.python_version()
    assert environment.packages["numpy"] == version("numpy")
    assert environment.host
    assert environment.git is None


def test_a_loaded_casa_is_named_as_its_distribution_is(casa_site_config: DataSource, tmp_path: Path) -> None:
    import_casatasks()
    assert current_environment(tmp_path).casatasks == version("casatasks")


def test_the_environment_is_a_record_that_survives_json(casa_site_config: DataSource, repository: Path) -> None:
    environment = current_environment(repository)
    assert structure(unstructure(environment), Environment) == environment


def test_the_environment_names_the_tables_of_leap_seconds(casa_site_config: DataSource, tmp_path: Path) -> None:
    measures = current_environment(tmp_path).measures
    assert "TAI_UTC 20" in measures
    assert "IERSeop2000 20" in measures


def test_the_environment_is_found_without_importing_casa(casa_site_config: DataSource, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from casaprov.casa.installed.environment import current_environment;"
        "current_environment(Path.cwd()); print(sorted({'casatools', 'casatasks', 'casadata'} & set(sys.modules)))"
    )
    path = os.pathsep.join(path for path in sys.path if path)
    environ = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environ)
    assert done.stdout.strip() == "[]"


def test_threads_are_recorded_as_set(
    casa_site_config: DataSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    threads = current_environment(tmp_path).threads
    assert threads["OMP_NUM_THREADS"] == "3"
    assert "MKL_NUM_THREADS" not in threads
    assert int(threads["cpus"]) >= 1


def test_without_casa_the_environment_is_still_found(python_without: Callable[..., Path]) -> None:
    code = (
        "from pathlib import Path; from casaprov.casa.installed.environment import current_environment;"
        "e = current_environment(Path.cwd()); print([e.casatasks, e.casatools, e.measures])"
    )
    python = python_without("casatasks", "casatools", "casaconfig")
    done = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "['', '', '']"


def test_the_tables_header_says_what_python_casacore_says(casadata_path: Path) -> None:
    # In a child: python-casacore must not be loaded where CASA may be.
    code = (
        "import sys, json; from casacore.tables import table;"
        "print(json.dumps({name: [table(f'{sys.argv[1]}/geodetic/{name}', ack=False).getkeyword(key)"
        " for key in ('VS_DATE', 'VS_VERSION')] for name in ('IERSeop2000', 'IERSpredict', 'TAI_UTC')}))"
    )
    done = subprocess.run([sys.executable, "-c", code, casadata_path], check=True, capture_output=True, text=True)
    found = {name: [day.strftime("%Y/%m/%d"), v] for name, (day, v) in measures_tables(casadata_path).items()}
    assert found == {name: [day[:10], v] for name, (day, v) in json.loads(done.stdout).items()}


def test_a_folder_without_tables_has_no_measures(tmp_path: Path) -> None:
    assert measures_tables(tmp_path) == {}


def test_a_damaged_table_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "geodetic" / "TAI_UTC").mkdir(parents=True)
    (tmp_path / "geodetic" / "TAI_UTC" / "table.dat").write_bytes(b"\xbe\xbe" * 40)
    assert measures_tables(tmp_path) == {}


def test_measures_have_a_date(casadata_path: Path) -> None:
    day, _ = measures_tables(casadata_path)["TAI_UTC"]
    assert day >= date(2025, 1, 1)


def test_a_clean_repository_is_clean(repository: Path) -> None:
    state = git_state(repository)
    assert state is not None
    assert state.commit == _git(repository, "rev-parse", "HEAD")
    assert not state.dirty
    assert state.remote == ""


def test_a_changed_tracked_file_makes_the_repository_dirty(repository: Path) -> None:
    (repository / "a.ipynb").write_text('{"changed": 1}')
    state = git_state(repository)
    assert state is not None
    assert state.dirty


def test_untracked_data_do_not_make_the_repository_dirty(repository: Path) -> None:
    (repository / "x.ms").mkdir()
    (repository / "x.ms" / "table.dat").write_bytes(b"x")
    state = git_state(repository)
    assert state is not None
    assert not state.dirty


def test_a_folder_inside_the_repository_belongs_to_it(repository: Path) -> None:
    (repository / "deep" / "er").mkdir(parents=True)
    assert git_state(repository / "deep" / "er") == git_state(repository)


def test_the_remote_is_recorded_without_its_password(repository: Path) -> None:
    _git(repository, "remote", "add", "origin", "https://me:secret@example.org/me/reduction.git")
    state = git_state(repository)
    assert state is not None
    assert state.remote == "https://example.org/me/reduction.git"


def test_a_repository_without_a_commit_has_no_state(tmp_path: Path) -> None:
    _git(tmp_path, "init")
    assert git_state(tmp_path) is None


def test_a_folder_that_is_not_there_has_no_state(tmp_path: Path) -> None:
    assert git_state(tmp_path / "gone") is None


def test_without_git_there_is_no_state(repository: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from casaprov.casa.installed.environment import git_state;"
        "print(git_state(Path(sys.argv[1])))"
    )
    path = os.pathsep.join(path for path in sys.path if path)
    environ = {**os.environ, "PYTHONPATH": path, "PATH": str(tmp_path)}
    command = [sys.executable, "-c", code, str(repository)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environ)
    assert done.stdout.strip() == "None"


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("git@example.org:me/x.git", "git@example.org:me/x.git"),
        ("ssh://git@example.org:22/me/x.git", "ssh://git@example.org:22/me/x.git"),
        ("ssh://git:pw@example.org/me/x.git", "ssh://git@example.org/me/x.git"),
        ("https://token@example.org/me/x.git", "https://example.org/me/x.git"),
        ("https://a:b@c@example.org/x?private_token=1#2", "https://example.org/x"),
        ("/home/me/x", "/home/me/x"),
    ],
)
def test_credentials_leave_the_remote(url: str, told: str) -> None:
    assert without_credentials(url) == told


CONTAINER = "0123456789ab" + "c" * 52


@pytest.mark.parametrize(
    ("files", "environ", "told"),
    [
        ({}, {}, ""),
        ({}, {"APPTAINER_CONTAINER": "/images/casa.sif"}, "apptainer:casa.sif"),
        ({}, {"SINGULARITY_NAME": "casa.sif"}, "apptainer:casa.sif"),
        ({}, {"JUPYTER_IMAGE": "example.org/casa:6.7"}, "example.org/casa:6.7"),
        ({}, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "kubernetes"),
        ({"run/.containerenv": 'engine="podman"\nimage="example.org/casa:6.7"\n'}, {}, "podman:example.org/casa:6.7"),
        ({"run/.containerenv": ""}, {}, "podman"),
        ({".dockerenv": ""}, {}, "docker"),
        (
            {".dockerenv": "", "proc/self/mountinfo": f"1 2 8:1 /docker/containers/{CONTAINER}/hostname /etc/hostname"},
            {},
            "docker:0123456789ab",
        ),
        ({"proc/self/mountinfo": f"1 2 8:1 /docker/containers/{CONTAINER}/mounts/shm /x"}, {}, ""),
    ],
)
def test_a_container_is_named(files: dict[str, str], environ: dict[str, str], told: str, tmp_path: Path) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert container_name(tmp_path, environ) == told


def test_all_distributions_are_known_with_their_versions(tmp_path: Path) -> None:
    found = installed_distributions(sys.path)
    assert found["numpy"] == version("numpy")
    (tmp_path / "Some_Name.x-1.0+local.dist-info").mkdir()
    (tmp_path / "numpy-0.1.dist-info").mkdir()
    (tmp_path / "~broken-1.dist-info").mkdir()
    notes = {
        "here": '{"url": "file:///home/me/here", "dir_info": {"editable": true}}',
        "there": '{"url": "https://token@example.org/t.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}}',
        "damaged": "{",
    }
    for name, text in notes.items():
        (tmp_path / f"{name}-2.dist-info").mkdir()
        (tmp_path / f"{name}-2.dist-info" / "direct_url.json").write_text(text)
    first = installed_distributions([str(tmp_path / "nosuch"), str(tmp_path), *sys.path])
    assert first["some-name-x"] == "1.0+local"
    assert first["numpy"] == "0.1"
    assert first["here"] == first["damaged"] == "2 (local)"
    assert first["there"] == "2 @ git+https://example.org/t.git@abc"
    assert not any(name.startswith("~") for name in first)
