"""The project itself: what it exports, ships, says about itself and links to."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from urllib.parse import unquote

import pytest
import yaml

import casaprov
from checkout import ROOT

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = PYPROJECT["project"]["optional-dependencies"]


def _pages() -> list[Path]:
    return sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*.md")])


def _anchors(page: Path) -> set[str]:
    """Anchors of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ +(.*?) *$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_package_exports_what_it_says() -> None:
    assert dir(casaprov) == casaprov.__all__
    assert all(hasattr(casaprov, name) for name in casaprov.__all__)


def test_the_version_is_that_of_the_project() -> None:
    try:
        assert casaprov.__version__ == version("casaprov")
    except PackageNotFoundError:
        assert casaprov.__version__ == "0+unknown"


def test_an_attribute_that_is_not_there_is_refused_as_usual() -> None:
    with pytest.raises(AttributeError, match="module 'casaprov' has no attribute 'nothing'"):
        casaprov.nothing  # noqa: B018


def test_the_package_is_imported_quickly() -> None:
    code = "import time; start = time.perf_counter(); import casaprov; print(time.perf_counter() - start)"
    command = [sys.executable, "-c", code]
    times = [
        float(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout) for _ in range(3)
    ]
    assert min(times) <= 0.150


def test_the_extra_called_all_has_every_other() -> None:
    (line,) = EXTRAS["all"]
    assert set(line.removeprefix("casaprov[").removesuffix("]").split(",")) == set(EXTRAS) - {"all"}


def test_the_types_and_the_specs_are_shipped() -> None:
    assert (ROOT / "casaprov" / "py.typed").exists()
    wheel = PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["packages"] == ["casaprov"]
    assert wheel["force-include"] == {"schemas": "casaprov/schemas"}


def test_the_citation_names_this_release() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == PYPROJECT["project"]["version"]
    assert citation["license"] == PYPROJECT["project"]["license"]
    assert {"cff-version", "message", "title", "authors"} <= set(citation)


def test_every_change_is_of_a_known_type() -> None:
    known = {entry["directory"] for entry in PYPROJECT["tool"]["towncrier"]["type"]}
    for fragment in (ROOT / "changelog.d").glob("*.md"):
        assert fragment.name.split(".")[-2] in known, fragment.name


def test_the_makefile_says_what_there_is_to_make() -> None:
    done = subprocess.run(["make", "-C", str(ROOT), "help"], check=True, capture_output=True, text=True)
    for target in ("demo", "test", "test-fast", "lint", "docs", "dist", "bench", "clean"):
        assert re.search(rf"^  {target} ", done.stdout, re.MULTILINE), target


@pytest.mark.parametrize(
    ("python", "said"),
    [
        ("no-such-python", "There is no no-such-python."),
        ("python2", "python2 is Python 2.7; CASA has wheels for Python 3.11, 3.12 and 3.13."),
        *((name, f"{name} is no Python 3.11 or newer;") for name in ("perl", "false", "true", "echo", "cat")),
    ],
)
def test_a_python_that_will_not_do_is_refused_with_a_sentence(python: str, said: str, tmp_path: Path) -> None:
    if python == "python2":  # stands for any release out of range
        (tmp_path / python).write_text("#!/bin/sh\necho 2.7\n")
        (tmp_path / python).chmod(0o755)
    venv = tmp_path / "venv"
    environ = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["make", "-C", str(ROOT), f"PYTHON={python}", f"VENV={venv}", "test"],
        check=False,
        capture_output=True,
        text=True,
        env=environ,
    )
    assert done.returncode == 2
    assert done.stderr.startswith(said)
    assert "make PYTHON=/path/to/python3.12 test" in done.stderr
    assert not venv.exists()


@pytest.mark.parametrize("page", _pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_of_the_documentation_lead_somewhere(page: Path) -> None:
    prose = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", prose):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = unquote(link).partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link} leads nowhere"
        assert not anchor or anchor in _anchors(target), f"{link}: there is no such heading"


def test_nobody_is_told_to_install_the_name_from_an_index() -> None:
    # There, the name is not this project's.
    by_name = re.compile(r"pip install (?:-\S+ )*[\"']?casaprov(?![-\w/.{}]*\.whl|\[\w+\] @ )")
    sources = [*_pages(), *ROOT.glob("casaprov/**/*.py"), *ROOT.glob("tests/**/*.py"), *ROOT.glob("examples/*.ipynb")]
    assert [source for source in sources if by_name.search(source.read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize("page", _pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_files_of_the_code_that_a_page_names_are_there(page: Path) -> None:
    # A page may name a file from the root of the project, or from that of the package.
    named = set(re.findall(r"`([a-z_]+(?:/[a-z0-9_]+)+\.(?:py|toml))`", page.read_text()))
    assert [
        name for name in sorted(named) if not (ROOT / name).exists() and not (ROOT / "casaprov" / name).exists()
    ] == []


def test_newcomers_find_every_package_of_the_code() -> None:
    packages = {path.parent.relative_to(ROOT / "casaprov") for path in ROOT.glob("casaprov/**/__init__.py")} - {Path()}
    contributing = (ROOT / "CONTRIBUTING.md").read_text()
    architecture = (ROOT / "docs" / "explanation" / "architecture.md").read_text()
    for package in packages:
        if package.parent == Path():
            assert f"| `{package}/` |" in contributing
            assert f"| `{package}` |" in architecture
        else:
            assert f"`{package.name}`" in contributing
            assert f"`{package.name}`" in architecture
