"""The command line: help, exit codes, sentences instead of tracebacks."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import venv
from dataclasses import replace
from pathlib import Path

import pytest

from casaprov.cli import commands
from casaprov.cli.commands import _members, main
from casaprov.doctor import Finding
from casaprov.errors import CasaprovError
from casaprov.records.model import ResourceUsage
from casaprov.version import install_command
from checkout import ROOT
from sample_records import make_reduction, pack_reduction

COMMANDS = sorted(commands.cli.commands)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    output = capsys.readouterr().out
    assert f"Example:\n    casaprov {command}" in output


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_and_option_is_in_the_reference(command: str) -> None:
    page = (ROOT / "docs" / "reference" / "cli.md").read_text()
    section = re.search(rf"^## {command}$(.*?)(^## |\Z)", page, re.MULTILINE | re.DOTALL)
    assert section is not None, f"docs/reference/cli.md has no section {command}"
    for parameter in commands.cli.commands[command].params:
        for option in (name for name in parameter.opts if name.startswith("--")):
            assert f"`{option}" in section.group(1)


def test_every_error_has_an_exit_code() -> None:
    def below(kind: type) -> set[type]:
        return {kind}.union(*map(below, kind.__subclasses__()))

    for kind in below(CasaprovError):
        assert next(code for base, code in commands.EXIT_CODES if issubclass(kind, base)) in (2, 3)


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "nothing.ipynb"],
        ["export", "nothing.ipynb", "-o", "x.zip"],
        ["validate", "nothing.zip"],
        ["inspect", "nothing.zip"],
        ["inspect", "nothing.ipynb"],
        ["replay", "nothing.zip"],
        ["compare", "nothing", "nothing"],
        ["sync", "nothing.ipynb"],
        ["no-such-command"],
        ["digest"],
        ["digest", "nothing"],
    ],
    ids=" ".join,
)
def test_what_is_not_there_is_a_usage_error(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    assert captured.err.strip()


def test_digests_are_printed_of_all_that_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    os.mkfifo(tmp_path / "pipe")
    paths = [str(tmp_path / name) for name in ("a", "missing", "pipe", "b")]
    assert main(["digest", *paths]) == 2
    captured = capsys.readouterr()
    assert [line.rpartition("/")[2] for line in captured.out.splitlines()] == ["a", "b"]
    assert "There is nothing at" in captured.err
    assert "pipe is a pipe" in captured.err.replace("\n", " ")
    assert main(["digest", str(tmp_path / "pipe"), str(tmp_path / "b")]) == 3
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_an_index_of_a_newer_format_is_not_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    notebook, index = tmp_path / "n.ipynb", {"format": "casaprov/notebook-metadata/2", "calls": {}}
    notebook.write_text(json.dumps({"cells": [], "metadata": {"casaprov": index}, "nbformat": 4, "nbformat_minor": 5}))
    before = notebook.read_bytes()
    assert main(["sync", str(notebook)]) == 3
    assert "casaprov/notebook-metadata/2" in capsys.readouterr().err
    assert notebook.read_bytes() == before


def test_a_notebook_without_a_record_says_how_to_get_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "n.ipynb").write_text('{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}')
    assert main(["export", str(tmp_path / "n.ipynb"), "-o", "x.zip"]) == 3
    assert "load_ext casaprov" in capsys.readouterr().err
    assert not Path("x.zip").exists()


@pytest.mark.parametrize("text", ["", "not json", "[1]", '{"cells": 3}'])
def test_what_is_no_notebook_is_said_to_be_none(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str) -> None:
    notebook = tmp_path / "n.ipynb"
    notebook.write_text(text)
    assert main(["run", str(notebook)]) == 2
    assert "no notebook" in capsys.readouterr().err
    assert notebook.read_text() == text


def test_a_kernel_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    notebook = tmp_path / "n.ipynb"
    notebook.write_text(
        '{"cells": [], "metadata": {"kernelspec": {"name": "casa5", "display_name": "CASA 5"}},'
        ' "nbformat": 4, "nbformat_minor": 5}'
    )
    before = notebook.read_bytes()
    assert main(["run", str(notebook)]) == 2
    assert "no Jupyter kernel 'casa5'" in capsys.readouterr().err
    assert notebook.read_bytes() == before


def test_files_are_digested_and_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = tmp_path / "a.txt", tmp_path / "b.txt"
    first.write_text("one\n")
    second.write_text("two\n")
    assert main(["digest", str(first), "--json"]) == 0
    measured = json.loads(capsys.readouterr().out)
    assert measured["content_digest"] == "sha256:2c8b08da5ce60398e1f19af0e5dccc744df274b826abe585eaba68c525434806"
    assert main(["compare", str(first), str(first)]) == 0
    assert "identical" in capsys.readouterr().out
    assert main(["compare", str(first), str(second), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["verdict"] == "differs"


@pytest.mark.parametrize("value", ["nan", "-1", "inf", "much"])
@pytest.mark.parametrize("option", ["--rtol", "--atol"])
def test_what_is_no_tolerance_is_a_usage_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, value: str
) -> None:
    (tmp_path / "a").write_text("a")
    for command in (["compare", str(tmp_path / "a"), str(tmp_path / "a")], ["replay", str(tmp_path / "a")]):
        assert main([*command, option, value]) == 2
        assert value in capsys.readouterr().err
    assert not list(Path.cwd().iterdir())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--data", "/nosuch"], "There is no folder /nosuch to search"),
        (["--data", __file__], f"{__file__} is no folder to search"),
        (["--work", __file__], f"The work folder {__file__} is a file."),
        (["--work", str(ROOT)], f"The work folder {ROOT} is not empty."),
        (["--python", "/nosuch/python"], "There is no program /nosuch/python."),
    ],
)
def test_a_replay_with_what_is_not_there_does_not_begin(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    crate = pack_reduction(make_reduction(tmp_path / "nb"), tmp_path / "x.zip").path
    assert main(["replay", str(crate), *options]) == 2
    assert said in capsys.readouterr().err
    assert not list(Path.cwd().iterdir())


def test_a_python_without_casaprov_is_told_what_to_install(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reduction = make_reduction(tmp_path / "nb")
    first, *rest = reduction.document.activities
    entities = tuple(entity for entity in reduction.document.entities if entity.path != "data/N.fits")
    document = replace(reduction.document, activities=(replace(first, used=()), *rest), entities=entities)
    crate = pack_reduction(replace(reduction, document=document), tmp_path / "x.zip").path
    venv.create(tmp_path / "bare", with_pip=False)
    python = tmp_path / "bare" / "bin" / "python"
    assert main(["replay", str(crate), "--python", str(python)]) == 3
    error = capsys.readouterr().err
    assert install_command("casa", python=str(python)) in error
    assert "No module named 'casaprov'" in error


def test_timing_tells_how_long_the_user_waited(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reduction = make_reduction(tmp_path / "nb")
    used = ResourceUsage(cpu_s=7.25, peak_memory_bytes=3_000_000_000, written_bytes=12_000)
    waited = tuple(replace(activity, waited_s=0.5, resources=used) for activity in reduction.document.activities)
    document = replace(reduction.document, activities=waited)
    pack_reduction(replace(reduction, document=document), tmp_path / "x.zip")
    assert main(["inspect", str(tmp_path / "x.zip"), "--timing"]) == 0
    output = capsys.readouterr().out
    assert (
        output.count("0.500")
        == output.count("7.25")
        == output.count("3.0 GB")
        == output.count("12.0 kB")
        == len(waited)
    )
    assert f"You waited another {0.5 * len(waited):.1f} s for casaprov" in output


def test_timing_is_told_beside_what_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pack_reduction(make_reduction(tmp_path / "nb"), tmp_path / "x.zip")
    assert main(["inspect", str(tmp_path / "x.zip"), "--timing"]) == 0
    timing = capsys.readouterr().out
    assert main(["inspect", str(tmp_path / "x.zip"), "--timing", "--prov", str(tmp_path / "p.json")]) == 0
    assert capsys.readouterr().out.startswith(timing)
    assert (tmp_path / "p.json").exists()


def test_a_reader_who_leaves_early_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one")
    command = f"{sys.executable} -m casaprov digest {' '.join([str(tmp_path / 'a.txt')] * 50)} | head -1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], check=False, capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""


def test_a_name_that_no_file_can_have_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "x" * 5000]) in (1, 2, 3)
    assert main(["replay", "x" * 5000, "--work", "w"]) in (2, 3)
    assert "Traceback" not in capsys.readouterr().err


def test_the_module_runs_like_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "casaprov", "--version"], check=True, capture_output=True, text=True)
    assert re.fullmatch(r"casaprov, version \S+\n", done.stdout)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_can_be_had(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    assert "_CASAPROV_COMPLETE" in capsys.readouterr().out


def test_findings_keep_their_keys_in_json() -> None:
    assert _members(Finding("git", "warning", "There is no git.")) == {
        "name": "git",
        "status": "warning",
        "told": "There is no git.",
    }
