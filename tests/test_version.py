"""Versions of installed packages, and the command that adds an extra, wherever casaprov came from."""

from __future__ import annotations

import json
import shlex
from importlib import metadata
from importlib.metadata import Distribution, PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest

from casaprov import version
from checkout import ROOT


class Noted:
    """Stands for an installation, with what pip noted of its origin."""

    def __init__(self, noted: dict[str, Any] | None) -> None:
        self._noted = noted

    def read_text(self, filename: str) -> str | None:
        assert filename == "direct_url.json"
        return None if self._noted is None else json.dumps(self._noted)


@pytest.mark.parametrize(
    ("noted", "command"),
    [
        ({"url": "file:///a%20b/casaprov", "dir_info": {"editable": True}}, 'pip install -e "/a b/casaprov[gui]"'),
        ({"url": "file:///src/casaprov", "dir_info": {}}, 'pip install "/src/casaprov[gui]"'),
        (
            {"url": "file:///w/casaprov-0.1.0-py3-none-any.whl", "archive_info": {}},
            'pip install "/w/casaprov-0.1.0-py3-none-any.whl[gui]"',
        ),
        (
            {"url": "https://example.org/c.git", "vcs_info": {"vcs": "git", "commit_id": "0a1b"}},
            'pip install "casaprov[gui] @ git+https://example.org/c.git@0a1b"',
        ),
        (
            {"url": "https://example.org/casaprov-0.1.0-py3-none-any.whl", "archive_info": {}},
            'pip install "casaprov[gui] @ https://example.org/casaprov-0.1.0-py3-none-any.whl"',
        ),
        (None, f'pip install "casaprov-{version.__version__}-py3-none-any.whl[gui]"'),
    ],
)
def test_an_extra_is_added_from_where_casaprov_came(
    noted: dict[str, Any] | None, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Distribution, "from_name", lambda _name: Noted(noted))
    assert version.install_command("gui") == command


def test_a_checkout_that_was_never_installed_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(Distribution, "from_name", absent)
    assert version.install_command("casa") == f'pip install -e "{ROOT}[casa]"'


def test_the_command_can_be_typed_whatever_the_folder_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    noted = Noted({"url": "file:///%22%24HOME%22/it%27s", "dir_info": {"editable": True}})
    monkeypatch.setattr(Distribution, "from_name", lambda _name: noted)
    typed = shlex.split(version.install_command("gui", python="/my python/bin/python"))
    assert typed == ["/my python/bin/python", "-m", "pip", "install", "-e", '/"$HOME"/it\'s[gui]']


def test_versions_are_those_of_importlib() -> None:
    names = {found.metadata["Name"] for found in metadata.distributions()}
    assert len(names) > 50
    assert {name: version.installed_version(name) for name in names} == {name: metadata.version(name) for name in names}


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("Version: 3.2", "3.2"),
        ("Version:\t3.2", "3.2"),
        ("version:3.2", "3.2"),
        ("Version:", ""),
        ("Version: 3 2", "3 2"),
    ],
)
def test_a_version_is_that_of_the_header(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, header: str, found: str
) -> None:
    folder = tmp_path / "odd_thing-1.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: odd_thing\n{header}\n\nVersion: 9\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert version.installed_version("odd_thing") == metadata.version("odd_thing") == found


def test_a_package_that_is_not_installed_has_an_empty_version() -> None:
    assert version.installed_version("no-such-distribution-anywhere") == ""
