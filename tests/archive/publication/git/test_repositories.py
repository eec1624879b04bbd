"""Notebooks in git, and how the existing plugin reads them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from casaprov.archive.deposits import Kind, State
from casaprov.archive.publication.git.repositories import Repositories
from served_archive import NOTEBOOK, ServedArchive, a_zip, serving


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedArchive]:
    with serving(tmp_path_factory.mktemp("archive")) as archive:
        yield archive


def _git(*arguments: str, cwd: Path) -> str:
    return subprocess.run(["git", *arguments], cwd=cwd, check=True, capture_output=True, text=True, timeout=60).stdout


def _listed(served: ServedArchive, obs_id: str) -> dict[str, str]:
    answer = requests.get(f"{served.url}/api/v1/repos/EVN/{obs_id}/contents", timeout=30)
    assert answer.status_code == 200
    return {entry["path"]: entry["download_url"] for entry in answer.json()}


def test_the_plugin_finds_and_reads_a_notebook(served: ServedArchive) -> None:
    content = json.dumps(NOTEBOOK | {"metadata": {"about": "mine"}}).encode()
    served.deposit(obs_id="EA001", kind=Kind.NOTEBOOK, filename="ea 001.ipynb", content=content)
    answer = requests.get(f"{served.url}/api/v1/repos/EVN/EA001/contents", timeout=30)
    (entry,) = answer.json()
    assert (entry["name"], entry["type"], entry["size"]) == ("ea 001.ipynb", "file", len(content))
    assert requests.get(entry["download_url"], timeout=30).content == content
    raw = requests.get(f"{served.url}/EVN/EA001/raw/branch/master/ea 001.ipynb", timeout=30)
    assert raw.content == content
    assert raw.headers["Content-Type"].startswith("text/plain")
    assert requests.get(f"{served.url}/OTHER/EA001/raw/branch/master/ea 001.ipynb", timeout=30).status_code == 404


def test_a_repository_is_cloned_and_checked_out_by_the_commit_of_a_crate(served: ServedArchive, tmp_path: Path) -> None:
    first = served.deposit(obs_id="EA002")
    served.deposit(obs_id="EA002")
    page = requests.get(f"{served.url}/crates/{first.name}", timeout=30).text
    commit = Repositories(served.settings.git).commit_of(first)
    assert len(commit) == 40
    assert commit in page
    _git("clone", "--quiet", f"{served.url}/git/EA002.git", "cloned", cwd=tmp_path)
    clone = tmp_path / "cloned"
    assert _git("branch", "--show-current", cwd=clone) == "master\n"
    assert sorted(path.name for path in clone.glob("*.ipynb")) == ["ngc5921-0002.ipynb", "ngc5921.ipynb"]
    _git("checkout", "--quiet", commit, cwd=clone)
    assert [path.name for path in clone.glob("*.ipynb")] == ["ngc5921.ipynb"]
    assert json.loads((clone / "ngc5921.ipynb").read_text()) == NOTEBOOK
    _git("fsck", "--strict", cwd=served.settings.git / "EA002.git")
    assert "Ada <>" in _git("log", "--format=%an <%ae>", cwd=clone)


def test_a_new_version_replaces_the_notebook_and_its_withdrawal_brings_the_old_one_back(served: ServedArchive) -> None:
    first = served.deposit(obs_id="EA003", content=a_zip(**{"ngc5921.ipynb": '{"v": 1}'}))
    second = served.deposit(obs_id="EA003", new_version_of=first.name, content=a_zip(**{"ngc5921.ipynb": '{"v": 2}'}))
    address = _listed(served, "EA003")["ngc5921.ipynb"]
    assert requests.get(address, timeout=30).json() == {"v": 2}
    served.withdraw(second)
    assert requests.get(address, timeout=30).json() == {"v": 1}
    served.withdraw(first)
    assert _listed(served, "EA003") == {}
    assert requests.get(address, timeout=30).status_code == 404


def test_publishing_again_after_a_crash_commits_nothing_twice(served: ServedArchive) -> None:
    deposit = served.deposit(obs_id="EA004")
    repositories = Repositories(served.settings.git)
    content = served.archive.storage.path(deposit.did, "crate.zip")
    (served.settings.git / "EA004.git" / "refs" / "heads" / "master.lock").touch()  # as a killed process leaves it
    repositories.prepare(deposit, content)
    assert _git("rev-list", "--count", "master", cwd=served.settings.git / "EA004.git") == "1\n"
    served.withdraw(deposit)
    repositories.withdraw(deposit)
    assert _git("rev-list", "--count", "master", cwd=served.settings.git / "EA004.git") == "2\n"


def test_what_was_taken_back_is_committed_again_under_its_name(served: ServedArchive) -> None:
    held = served.deposit(State.HELD, obs_id="EA007")
    repositories = Repositories(served.settings.git)
    content = served.archive.storage.path(held.did, "crate.zip")
    repositories.prepare(held, content)
    repositories.withdraw(held)
    assert _listed(served, "EA007") == {}
    repositories.prepare(held, content)
    assert list(_listed(served, "EA007")) == ["ngc5921.ipynb"]
    repositories.withdraw(held)
    assert _listed(served, "EA007") == {}


def test_a_version_that_is_published_after_a_newer_one_is_in_git(served: ServedArchive, tmp_path: Path) -> None:
    first = served.deposit(obs_id="EA009", content=a_zip(**{"ngc5921.ipynb": '{"v": 1}'}))
    second = served.deposit(obs_id="EA009", new_version_of=first.name, content=a_zip(**{"ngc5921.ipynb": '{"v": 2}'}))
    archive = tmp_path / "a.zip"
    late = Repositories(tmp_path / "git")
    for deposit, text in ((second, '{"v": 2}'), (first, '{"v": 1}'), (first, '{"v": 1}')):
        archive.write_bytes(a_zip(**{"ngc5921.ipynb": text}))
        late.prepare(deposit, archive)
        assert late.read("EA009", "ngc5921.ipynb") == b'{"v": 2}'
    place = tmp_path / "git" / "EA009.git"
    assert _git("show", f"{late.commit_of(first)}:ngc5921.ipynb", cwd=place) == '{"v": 1}'
    assert _git("show", f"{late.commit_of(second)}:ngc5921.ipynb", cwd=place) == '{"v": 2}'
    assert _git("rev-list", "--count", "master", cwd=place) == "3\n"
    _git("fsck", "--strict", cwd=place)
    late.withdraw(second)
    assert late.read("EA009", "ngc5921.ipynb") == b'{"v": 1}'
    late.withdraw(first)
    assert late.listed("EA009") == ()


def test_a_version_after_a_withdrawn_one_takes_the_place_of_the_one_before(served: ServedArchive) -> None:
    first = served.deposit(obs_id="EA008", content=a_zip(**{"ngc5921.ipynb": '{"v": 1}'}))
    second = served.deposit(obs_id="EA008", new_version_of=first.name, content=a_zip(**{"ngc5921.ipynb": '{"v": 2}'}))
    served.withdraw(second)
    served.deposit(obs_id="EA008", new_version_of=first.name, content=a_zip(**{"ngc5921.ipynb": '{"v": 3}'}))
    ((name, address),) = _listed(served, "EA008").items()
    assert name == "ngc5921.ipynb"
    assert requests.get(address, timeout=30).json() == {"v": 3}


def test_many_deposits_at_once_are_all_committed(served: ServedArchive) -> None:
    held = [served.deposit(State.HELD, obs_id="EA005") for _ in range(12)]
    repositories = Repositories(served.settings.git)

    def publish(number: int) -> None:
        deposit = held[number]
        repositories.prepare(deposit, served.archive.storage.path(deposit.did, "crate.zip"))

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(publish, range(12)))
    assert len(_listed(served, "EA005")) == 12
    _git("fsck", "--strict", cwd=served.settings.git / "EA005.git")


@pytest.mark.parametrize("name", ["../../evil.ipynb", ".git", "a/b.ipynb", "..", "x\n.ipynb", "<b>.ipynb", "ö" * 300])
def test_no_name_of_a_notebook_leaves_the_repository(served: ServedArchive, name: str) -> None:
    deposit = served.deposit(obs_id="EA006", kind=Kind.NOTEBOOK, filename=name)
    paths = _listed(served, "EA006")
    assert all("/" not in path and not path.startswith(".") and path.endswith(".ipynb") for path in paths)
    served.withdraw(deposit)
    _git("fsck", "--strict", cwd=served.settings.git / "EA006.git")


@pytest.mark.parametrize(
    "path",
    [
        "/git/NONE.git/info/refs",
        "/git/EA001.git/config",
        "/git/EA001.git/objects/../config",
        "/git/EA001.git/objects/aa/" + "0" * 38,
        "/git/..%2Fkeys.git/HEAD",
        "/api/v1/repos/EVN/NONE/contents",
        "/api/v1/repos/EVN/%00/contents",
        "/EVN/EA001/raw/branch/master/../../x",
    ],
)
def test_nothing_else_of_the_server_is_read(served: ServedArchive, path: str) -> None:
    with requests.Session() as session:
        request = session.prepare_request(requests.Request("GET", served.url))
        request.url = served.url + path  # as it stands, without what requests tidies up
        assert session.send(request, timeout=30).status_code == 404
