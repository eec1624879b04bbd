"""Sources of credits: the first that names a field wins, and nothing wrong gets through."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from casaprov.credits.model import Credits
from casaprov.credits.people import Organization, Person
from casaprov.credits.repository import commit_of, content_address, public_address
from casaprov.credits.sources import find_credits, first_heading, missing_credits
from casaprov.errors import UsageError

TOML = """
[crate]
license = "CC-BY-4.0"
keywords = ["VLBI"]
publisher = "An archive <https://a.example.org>"
[[crate.authors]]
name = "Jane Doe"
orcid = "0000-0002-1825-0097"
affiliation = "An institute"
ror = "https://ror.org/05a28rw58"
"""
CFF = """
cff-version: 1.2.0
authors:
  - family-names: Roe
    given-names: Richard
    email: r@example.org
license: MIT
abstract: A reduction.
"""


@pytest.fixture
def notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "no-such-file"))
    path = tmp_path / "n.ipynb"
    path.write_text(json.dumps({"cells": [{"cell_type": "code", "source": ["x"], "outputs": []}]}))
    return path


def test_the_first_source_wins_field_by_field(notebook: Path) -> None:
    (notebook.parent / "casaprov.toml").write_text(TOML)
    (notebook.parent / "CITATION.cff").write_text(CFF)
    found = find_credits(notebook, {"authors": [{"name": "Somebody"}]}, Credits(license="CC0-1.0"))
    assert found.license == "CC0-1.0"
    institute = Organization(name="An institute", url="https://ror.org/05a28rw58")
    assert found.authors == (
        Person(name="Jane Doe", orcid="https://orcid.org/0000-0002-1825-0097", affiliation=institute),
    )
    assert found.keywords == ("VLBI",)
    assert found.description == "A reduction."
    assert missing_credits(found) == {}


def test_each_source_is_read_if_no_earlier_one_names_it(notebook: Path) -> None:
    assert find_credits(notebook, {"authors": [{"name": "Somebody"}]}, Credits()).authors == (Person(name="Somebody"),)
    (notebook.parent / "codemeta.json").write_text(
        json.dumps({"author": [{"givenName": "A", "familyName": "B"}], "license": "https://spdx.org/licenses/MIT"})
    )
    found = find_credits(notebook, {}, Credits())
    assert (found.authors, found.license) == ((Person(name="A B", given_name="A", family_name="B"),), "MIT")
    (notebook.parent / "CITATION.cff").write_text(CFF)
    (author,) = find_credits(notebook, {}, Credits()).authors
    assert (author.name, author.family_name) == ("Richard Roe", "Roe")
    (notebook.parent / "pyproject.toml").write_text('[tool.casaprov.crate]\nlicense = "BSD-3-Clause"\n')
    assert find_credits(notebook, {}, Credits()).license == "BSD-3-Clause"


def test_the_name_of_git_is_the_last_and_no_address_is_taken(notebook: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = notebook.parent / "gitconfig"
    config.write_text("[user]\nname = Jane Doe\nemail = jane@example.org\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    assert find_credits(notebook, {}, Credits()) == Credits(authors=(Person(name="Jane Doe"),))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("casaprov.toml", "[crate]\nlicence = 'MIT'", "[crate] knows no licence."),
        ("casaprov.toml", "[crate]\nlicense = 'GPL'", "no licence of the SPDX list"),
        ("casaprov.toml", "[[crate.authors]]\nname = 'A'\norcid = '0000-0002-1825-0098'", "its checksum is wrong"),
        ("casaprov.toml", "[crate", "it cannot be read"),
        ("CITATION.cff", "authors: [", "it cannot be read"),
        ("codemeta.json", "[]", "it cannot be read"),
    ],
)
def test_a_source_that_is_wrong_is_named(notebook: Path, name: str, text: str, message: str) -> None:
    (notebook.parent / name).write_text(text)
    with pytest.raises(UsageError) as caught:
        find_credits(notebook, {}, Credits())
    assert name in caught.value.message
    assert message in caught.value.message


def test_missing_credits_are_named_with_the_way_to_give_them(notebook: Path) -> None:
    assert list(missing := missing_credits(find_credits(notebook, {}, Credits()))) == ["author", "license", "publisher"]
    assert all("casaprov.toml" in sentence and "--" in sentence for sentence in missing.values())


def test_a_commit_is_named_only_if_it_holds_the_notebook(notebook: Path) -> None:
    git = ["git", "-C", str(notebook.parent), "-c", "user.name=A", "-c", "user.email=a@example.org"]
    assert commit_of(notebook, ["HEAD"]) == ""
    subprocess.run([*git, "init", "-q"], check=True)
    assert commit_of(notebook, []) == ""
    subprocess.run([*git, "add", notebook.name], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "n"], check=True)
    run = json.loads(notebook.read_text())
    run["cells"][0]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "1"}]
    notebook.write_text(json.dumps(run))
    assert len(commit_of(notebook, [])) == 40
    run["cells"][0]["source"] = "y"
    notebook.write_text(json.dumps(run))
    assert commit_of(notebook, []) == ""


def test_only_an_address_that_anybody_can_open_is_public() -> None:
    assert public_address("https://example.org/n.git") == "https://example.org/n.git"
    assert public_address("git@example.org:n.git") == public_address("/home/me/n") == public_address("") == ""


def test_the_address_of_a_content_is_that_of_its_blob_in_git() -> None:
    blob = subprocess.run(["git", "hash-object", "--stdin"], input=b"x\n", capture_output=True, check=True).stdout
    assert content_address(b"x\n") == f"https://archive.softwareheritage.org/swh:1:cnt:{blob.decode().strip()}"


def test_the_title_is_the_first_heading() -> None:
    cells: list[dict[str, Any]] = [
        {"cell_type": "code", "source": "# no"},
        {"cell_type": "markdown", "source": ["text\n", "## **NGC 5921**\n"]},
    ]
    assert first_heading(cells) == "NGC 5921"
    assert first_heading([]) == ""
