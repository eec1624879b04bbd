"""Hooks of MkDocs: the site holds what the pages link to outside of ``docs/``, and draws their Mermaid diagrams.

On a forge, links such as ``../../benchmarks/results.md`` lead to files of the repository, and Mermaid blocks are
drawn. The site has copies of these files below ``project/``, and pictures that are drawn when it is built, so that
it needs no network and no script to be read.

See https://www.mkdocs.org/user-guide/configuration/#hooks
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from urllib.parse import quote, unquote

import mmdr
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
PROJECT = (
    "CHANGELOG.md",
    "CITATION.cff",
    "CONTRIBUTING.md",
    "LICENSE",
    "benchmarks/results.md",
    "examples/*.ipynb",
    "examples/README.md",
    "schemas/*.json",
)
"""Files outside of ``docs/`` that the site has, as patterns."""

_ELSEWHERE = {"README.md": "index.md"}
_CODE = re.compile(r"(^```.*?^```$|`[^`\n]*`)", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_MERMAID = re.compile(r"^```mermaid\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_HEADING = re.compile(r"^#+ +(.*?) *$", re.MULTILINE)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the files that lie outside of ``docs/``."""
    for pattern in PROJECT:
        for path in sorted(ROOT.glob(pattern)):
            place = f"project/{path.relative_to(ROOT).as_posix()}"
            files.append(File.generated(config, place, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Draw the diagrams of a page, and point its links to where the site has their targets."""
    drawn = _draw_diagrams(markdown, page.file.src_uri, config, files)
    parts = _CODE.split(drawn)
    parts[::2] = [_LINK.sub(lambda link: f"]({_on_site(link[1], page.file.src_uri)})", part) for part in parts[::2]]
    return "".join(parts)


def _draw_diagrams(markdown: str, page: str, config: MkDocsConfig, files: Files) -> str:
    count = 0

    def draw(block: re.Match[str]) -> str:
        nonlocal count
        count += 1
        picture = f"{page.removesuffix('.md')}-{count}.svg"
        files.append(File.generated(config, picture, content=_sized(mmdr.render(block[1]).svg())))
        heading = _HEADING.findall(markdown, 0, block.start())[-1]
        return f"![{heading}, drawn]({posixpath.basename(picture)})"

    return _MERMAID.sub(draw, markdown)


def _sized(svg: str) -> str:
    """Return a drawing with its own width instead of the page's, and with text that fits its boxes.

    Boxes are measured for a narrow font at 16 px. The reader's font may be an eighth wider than that one.
    """
    found = re.search(r'viewBox="[-.\d]+ [-.\d]+ ([.\d]+) [.\d]+"', svg)
    width = found[1] if found else "100%"
    return svg.replace('width="100%"', f'width="{width}"', 1).replace("font-size:16px", "font-size:14px")


def _on_site(link: str, page: str) -> str:
    """Return where `link` of `page` leads on the site; links that stay in their place, and unknown ones, as they are."""
    path, mark, anchor = unquote(link).partition("#")
    if not path or re.match(r"[a-z]+:|/", path):
        return link
    source = page.removeprefix("project/") if page.startswith("project/") else f"docs/{page}"
    target = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
    if target.startswith("docs/"):
        place = target.removeprefix("docs/")
    elif target in _ELSEWHERE:
        place = _ELSEWHERE[target]
    elif any(Path(target).match(pattern) for pattern in PROJECT):
        place = f"project/{target}"
    else:
        return link
    return quote(posixpath.relpath(place, posixpath.dirname(page) or ".")) + mark + anchor
