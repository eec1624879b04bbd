"""Credits that were asked for are kept in casaprov.toml, beside all that it has already."""

from __future__ import annotations

import io
import subprocess
from pathlib import Path

import pytest

from casaprov.cli.commands import main
from casaprov.cli.crates import ask_credits
from casaprov.credits.keeping import keep_credits
from casaprov.credits.model import Credits
from casaprov.credits.sources import find_credits
from casaprov.errors import UsageError
from sample_records import journaled, make_credits

GIVEN = Credits(authors=make_credits().authors, license="CC-BY-4.0", publisher=make_credits().publisher)


@pytest.mark.parametrize(
    "before",
    [
        "",
        "# mine\n[crate]\nkeywords = ['VLBI']  # more\n",
        "# mine\nother = 1",
        "# mine\n[ crate ] # here\n[tool]\nx = 1\n",
        "# mine\n[[crate.authors]]\nname = 'A'\n",
    ],
)
def test_what_stands_in_the_file_stays(tmp_path: Path, before: str) -> None:
    path = tmp_path / "casaprov.toml"
    if before:
        path.write_text(before)
    given = Credits(license="MIT", publisher=GIVEN.publisher) if "authors" in before else GIVEN
    assert keep_credits(tmp_path / "n.ipynb", given) == path
    found = find_credits(tmp_path / "n.ipynb", {}, Credits())
    assert (found.license, found.publisher) == (given.license, given.publisher)
    assert [author.name for author in found.authors] == (["A"] if "authors" in before else ["J. Carberry"])
    for line in before.splitlines():
        assert line in path.read_text().splitlines()


def test_a_file_that_cannot_be_added_to_stays_and_the_lines_are_shown(tmp_path: Path) -> None:
    path = tmp_path / "casaprov.toml"
    path.write_text("crate = {keywords = ['a']}\n")
    with pytest.raises(UsageError) as caught:
        keep_credits(tmp_path / "n.ipynb", GIVEN)
    assert 'license = "CC-BY-4.0"' in caught.value.hint
    assert path.read_text() == "crate = {keywords = ['a']}\n"


@pytest.fixture
def notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    return journaled(tmp_path / "nb").notebook


def answer(monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))


def test_export_asks_once_and_keeps_the_answers(
    notebook: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    orcids = "0000-0002-1825-0098", "0000-0002-1825-0097"
    answer(monkeypatch, "Jane Doe", *orcids, "An institute <https://ror.org/05a28rw58>", "cc-by-4.0", "")
    ask_credits(notebook, Credits())
    shown = capsys.readouterr().err
    assert "its checksum is wrong" in shown
    found = find_credits(notebook, {}, Credits())
    assert (found.license, found.publisher) == ("CC-BY-4.0", None)
    assert found.authors[0].orcid == "https://orcid.org/0000-0002-1825-0097"
    assert found.authors[0].affiliation is not None
    answer(monkeypatch, "An archive <https://a.example.org>")  # the only one that was not answered
    ask_credits(notebook, Credits())
    answer(monkeypatch)
    ask_credits(notebook, Credits())
    assert [author.name for author in find_credits(notebook, {}, Credits()).authors] == ["Jane Doe"]


def test_the_name_of_git_is_offered(
    notebook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    subprocess.run(["git", "config", "-f", tmp_path / "gitconfig", "user.name", "Git User"], check=True)
    answer(monkeypatch, "", "0000-0002-1825-0097", "", "", "")
    ask_credits(notebook, Credits())
    assert "[Git User]" in capsys.readouterr().err
    (author,) = find_credits(notebook, {}, Credits()).authors
    assert (author.name, author.orcid) == ("Git User", "https://orcid.org/0000-0002-1825-0097")


def test_an_end_of_the_input_is_no_answer(
    notebook: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer(monkeypatch, "Jane Doe")
    assert main(["export", str(notebook), "-o", "n.zip", "--ask"]) == 2
    assert "leave out --ask" in capsys.readouterr().err
    assert not (notebook.parent / "casaprov.toml").exists()
    assert not Path("n.zip").exists()
