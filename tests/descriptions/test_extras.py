"""Files in a crate for programs of others: the environment that ran, CodeMeta, REANA."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from casaprov.cli.commands import main
from casaprov.crate import annotate_crate
from casaprov.crates.annotation import Annotation
from casaprov.crates.checking.validation import examine_crate
from casaprov.crates.layout import ENVIRONMENT, Manifest
from casaprov.descriptions.environment import environment_files, with_file_hashes
from casaprov.descriptions.workflow import reana_workflow
from casaprov.errors import UsageError
from casaprov.records.model import Document
from crate_rdf import described, triples
from sample_records import make_credits, make_reduction, pack_reduction

INSTALLED = {
    "casadata": "2025.9.22",
    "casaprov": "0.1.0 (local)",
    "casatasks": "6.7.0.31",
    "mine": "1.0 @ git+https://example.org/mine.git@0123abc",
    "numpy": "1.26.4",
}


def with_environment(document: Document, **facts: Any) -> Document:
    (session,) = document.sessions
    return replace(document, sessions=(replace(session, environment=replace(session.environment, **facts)),))


def packed(folder: Path, *wanted: str) -> Path:
    """Pack a crate with everything that there is for programs of others."""
    reduction = make_reduction(folder / "nb")
    document = with_environment(reduction.document, distributions=INSTALLED, packages={"casaplotms": "2.9.1"})
    return pack_reduction(replace(reduction, document=document), folder / "x.zip", make_credits(), wanted).path


def entry(crate: Path, name: str) -> bytes:
    with zipfile.ZipFile(crate) as archive:
        return archive.read(name)


def test_the_environment_is_pinned_to_what_ran(tmp_path: Path) -> None:
    crate = packed(tmp_path)
    text = entry(crate, ENVIRONMENT).decode()
    assert "# casaprov 0.1.0 was installed from a folder" in text
    python, pip, pins = yaml.safe_load(text)["dependencies"]
    assert (python, pip) == ("python=3.11.9", "pip")
    assert pins == {
        "pip": ["casadata==2025.9.22", "casatasks==6.7.0.31", "mine @ git+https://example.org/mine.git@0123abc", "numpy==1.26.4"]
    }  # fmt: skip
    assert "xvfb" in entry(crate, ".binder/apt.txt").decode().split()


def test_a_lock_pins_the_files_of_all_that_came_from_an_index(tmp_path: Path) -> None:
    document = make_reduction(tmp_path / "nb").document
    there = {name: version for name, version in INSTALLED.items() if name != "mine"}
    asked: list[tuple[Mapping[str, str], str]] = []

    def find(pins: Mapping[str, str], python: str) -> dict[str, tuple[str, ...]]:
        asked.append((pins, python))
        return {name: (f"{name}0", f"{name}1") for name in pins}

    locked = with_file_hashes(with_environment(document, distributions=there), find)
    pins = yaml.safe_load(environment_files(locked)[ENVIRONMENT])["dependencies"][2]["pip"]
    assert pins[-1] == "numpy==1.26.4 --hash=sha256:numpy0 --hash=sha256:numpy1"
    assert asked == [({"casadata": "2025.9.22", "casatasks": "6.7.0.31", "numpy": "1.26.4"}, "3.11.9")]
    with pytest.raises(UsageError, match="mine came from a repository"):
        with_file_hashes(with_environment(document, distributions=INSTALLED), find)
    with pytest.raises(UsageError, match="does not tell which distributions"):
        with_file_hashes(document, find)


def test_a_record_without_the_list_says_so_and_one_without_python_gives_none(tmp_path: Path) -> None:
    document = make_reduction(tmp_path / "nb").document
    files: Mapping[str, bytes] = environment_files(document)
    assert b"whose versions are not in the record" in files[ENVIRONMENT]
    assert list(files) == [ENVIRONMENT]
    assert environment_files(with_environment(document, python="")) == {}


def test_a_crate_with_all_of_them_is_valid(tmp_path: Path) -> None:
    crate = packed(tmp_path, "codemeta", "reana")
    findings = examine_crate(crate)
    assert (findings.errors, findings.notes) == ((), ())
    nodes = described(crate)
    assert nodes["my%20reduction.ipynb"]["buildInstructions"] == {"@id": ENVIRONMENT}
    assert {"codemeta.json", "reana.yaml", ".binder/apt.txt"} <= nodes.keys()
    assert json.loads(entry(crate, "codemeta.json"))["buildInstructions"] == ENVIRONMENT
    # The term is CodeMeta's.
    query = (
        "SELECT ?e WHERE { ?w a <http://schema.org/HowTo> ; <https://codemeta.github.io/terms/buildInstructions> ?e }"
    )
    assert [str(row[0]).rpartition("/x/")[2] for row in triples(crate).query(query)] == [ENVIRONMENT]  # type: ignore[index]


def test_a_changed_or_removed_environment_is_an_error(tmp_path: Path) -> None:
    crate = packed(tmp_path)
    for name, change in (("changed", b"python=3.12"), ("removed", None)):
        out = tmp_path / f"{name}.zip"
        with zipfile.ZipFile(crate) as old, zipfile.ZipFile(out, "w") as new:
            for info in old.infolist():
                if info.filename != ENVIRONMENT:
                    new.writestr(info, old.read(info))
                elif change is not None:
                    new.writestr(info, change)
        assert [(issue.path, issue.message) for issue in examine_crate(out).errors] == [
            (ENVIRONMENT, f"It was {name}.")
        ]


def test_a_repaired_crate_has_the_term_again(tmp_path: Path) -> None:
    crate, broken = packed(tmp_path), tmp_path / "broken.zip"
    with zipfile.ZipFile(crate) as old, zipfile.ZipFile(broken, "w") as new:
        for info in old.infolist():
            data = old.read(info)
            if info.filename == "ro-crate-metadata.json":
                metadata = json.loads(data)
                data = json.dumps({**metadata, "@context": metadata["@context"][0]}).encode()
            new.writestr(info, data)
    assert examine_crate(broken).errors == ()
    annotate_crate(broken, tmp_path / "mended.zip", Annotation(repair=True))
    before, after = (json.loads(entry(path, "ro-crate-metadata.json")) for path in (crate, tmp_path / "mended.zip"))
    assert before["@context"] == after["@context"]


def test_an_unknown_context_is_still_an_error(tmp_path: Path) -> None:
    crate, other = packed(tmp_path), tmp_path / "other.zip"
    with zipfile.ZipFile(crate) as old, zipfile.ZipFile(other, "w") as new:
        for info in old.infolist():
            data = old.read(info)
            if info.filename == "ro-crate-metadata.json":
                data = data.replace(b"codemeta.github.io/terms/build", b"codemeta.github.io/terms/other")
            new.writestr(info, data)
    assert any("@context" in issue.message for issue in examine_crate(other).errors)


def test_reana_runs_the_notebook_in_that_environment(tmp_path: Path) -> None:
    document = make_reduction(tmp_path / "nb").document
    workflow = reana_workflow(document, Manifest(notebook="my reduction.ipynb", title="x"))
    (step,) = workflow["workflow"]["specification"]["steps"]
    assert step["commands"][0].endswith(ENVIRONMENT)
    assert "'my reduction.ipynb'" in step["commands"][1]
    assert "mom0.fits" in workflow["outputs"]["files"]
    assert "cube.image" in workflow["outputs"]["directories"]


def test_an_unknown_file_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "n.ipynb", "-o", "n.zip", "--with", "codemeta,docker"]) == 2
    assert "knows no docker" in capsys.readouterr().err
