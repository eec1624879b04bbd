"""The documentation as a site: it builds strictly, its links lead somewhere, and it is read without a network."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from checkout import ROOT


class Links(HTMLParser):
    """What a page loads, where it leads to, and its anchors."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.leads: list[str] = []
        self.anchors: set[str] = set()
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        if anchor := named.get("id"):
            self.anchors.add(anchor)
        found = named.get("src" if tag in {"img", "script"} else "href")
        if found and tag in {"img", "link", "script"}:
            self.loaded.append(found)
        elif found and tag == "a":
            self.leads.append(found)


def build(folder: Path) -> subprocess.CompletedProcess[str]:
    # Whatever is asked of the network is refused: nothing listens on this port.
    environ = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    environ |= dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    return subprocess.run(command, cwd=ROOT, env=environ, check=False, capture_output=True, text=True)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = build(folder)
    assert done.returncode == 0, done.stderr
    return folder


def _pages(site: Path) -> Iterator[Path]:
    # The page for what is not found is read at any address, so its links begin at the root of a server.
    yield from sorted(set(site.rglob("*.html")) - {site / "404.html"})


def test_every_page_of_the_documentation_is_on_the_site(site: Path) -> None:
    for page in (ROOT / "docs").rglob("*.md"):
        name = page.relative_to(ROOT / "docs").with_suffix(".html")
        assert (site / (name.with_name("index.html") if name.stem == "README" else name)).is_file(), page
    assert not list(site.rglob("*.py"))


def test_links_of_the_site_lead_somewhere(site: Path) -> None:
    pages = {page: Links(page) for page in _pages(site)}
    for page, links in pages.items():
        for link in links.leads:
            if re.match(r"[a-z]+:", link):
                continue
            path, _, anchor = unquote(link).partition("#")
            target = (page.parent / path).resolve() if path else page
            assert target.is_file(), f"{page}: {link}"
            if anchor and target in pages:
                assert anchor in pages[target].anchors, f"{page}: {link}"


def test_the_site_loads_nothing_from_elsewhere(site: Path) -> None:
    for page in _pages(site):
        for source in Links(page).loaded:
            assert not re.match(r"[a-z]+:|//", source), f"{page} loads {source}"
            assert (page.parent / unquote(source).partition("?")[0]).is_file(), f"{page} loads {source}"


def test_diagrams_are_drawn(site: Path) -> None:
    page = (site / "explanation" / "architecture.html").read_text(encoding="utf-8")
    assert "flowchart" not in page
    pictures = sorted((site / "explanation").glob("architecture-*.svg"))
    assert len(pictures) == 2
    for picture in pictures:
        drawn = picture.read_text(encoding="utf-8")
        assert picture.name in page
        assert "recorder" in drawn
        assert "<script" not in drawn
        assert 'width="100%"' not in drawn


def test_a_link_that_leads_nowhere_fails_the_build(tmp_path: Path) -> None:
    for name in ("mkdocs.yml", "docs", "benchmarks", "examples", "schemas", "CHANGELOG.md", "CONTRIBUTING.md"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "docs").unlink()
    docs = tmp_path / "docs"
    docs.mkdir()
    for source in (ROOT / "docs").iterdir():
        if source.name != "index.md":
            (docs / source.name).symlink_to(source)
    (docs / "index.md").write_text(
        "[there](how-to/install.md) [nowhere](nowhere.md) [no heading](how-to/install.md#no)\n"
    )
    command = [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(tmp_path / "site")]
    environ = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environ, check=False, capture_output=True, text=True)
    assert done.returncode != 0
    assert "'nowhere.md'" in done.stderr
    assert "'how-to/install.md#no'" in done.stderr
    assert "'how-to/install.md'," not in done.stderr
