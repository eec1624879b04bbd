"""Pictures for the tutorial: does in a real JupyterLab what ``docs/tutorial/first-notebook.md`` says.

Each block of Python in the page is typed into a cell and run; ``cell=4`` after
the word Python means that the fourth cell gets it. Each picture in the page
shows the last cell that was run; the first one, JupyterLab's launcher.

    python tests/support/screenshots.py
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import casadata
from PIL import Image
from playwright.sync_api import Page

from checkout import ROOT
from jupyter_pages import JupyterServer, NotebookPage, browser, server

PAGE = ROOT / "docs" / "tutorial" / "first-notebook.md"
MAX_BYTES = 150_000

_PART = re.compile(
    r"^```python(?: cell=(?P<cell>\d+))?\n(?P<code>.*?)^```$|^!\[[^\]]*\]\((?P<picture>[^)]+)\)",
    re.MULTILINE | re.DOTALL,
)


def parts(page: str) -> Iterator[tuple[str, int | None, str]]:
    """What the page asks for, in order: ``("run", cell, code)`` and ``("picture", None, path)``."""
    for part in _PART.finditer(page):
        if part["picture"]:
            yield "picture", None, part["picture"]
        else:
            yield "run", int(part["cell"]) if part["cell"] else None, part["code"].strip()


def launch(page: Page, jupyter: JupyterServer, picture: Path) -> NotebookPage:
    """Take a picture of the launcher, and make a notebook with a click on the kernel."""
    page.goto(jupyter.url("lab"))
    card = page.locator(".jp-LauncherCard", has_text="CASA (casaprov)").first
    card.wait_for(timeout=60_000)
    page.screenshot(path=picture)
    notebook = NotebookPage(page, jupyter, "JupyterLab", "Untitled.ipynb")
    card.click()
    notebook.wait_until_open()
    notebook.rename("reduction.ipynb")
    return notebook


def take_pictures(folder: Path) -> list[Path]:
    """Do what the page says; return the pictures."""
    pictures = []
    with browser() as window, server(folder) as jupyter:
        jupyter.command("casaprov", "kernel", "install", "--user")
        page = window.new_page(viewport={"width": 1000, "height": 640})
        notebook: NotebookPage | None = None
        cells = last = 0
        for what, cell, text in parts(PAGE.read_text(encoding="utf-8")):
            if what == "picture":
                pictures.append(PAGE.parent / text)
                pictures[-1].parent.mkdir(exist_ok=True)
            if notebook is None:
                notebook = launch(page, jupyter, pictures[-1])
                page.set_viewport_size({"width": 1000, "height": 1600})
                page.keyboard.press("Control+b")  # the file browser needs the room
            elif what == "picture":
                page.mouse.move(0, 0)  # rows under the mouse are marked
                page.wait_for_timeout(500)
                notebook.screenshot(pictures[-1], of=notebook.cells().nth(last))
            else:
                cells += cell is None
                last = (cell or cells) - 1
                notebook.write(last, text)
                notebook.run(last, timeout_s=120)
        assert notebook is not None
        notebook.save()
        if notebook.dialogs:
            raise RuntimeError(f"A dialog appeared: {notebook.dialogs}")
    return pictures


def make_small(picture: Path) -> None:
    """Reduce the colours of a picture, which text and lines do not show."""
    with Image.open(picture) as image:
        image.convert("RGB").quantize(128).save(picture, optimize=True)
    if picture.stat().st_size > MAX_BYTES:
        raise RuntimeError(f"{picture} has {picture.stat().st_size} bytes; the limit is {MAX_BYTES}.")


def main() -> None:
    """Write the pictures."""
    with tempfile.TemporaryDirectory(prefix="casaprov-") as folder:
        reduction = Path(folder, "reduction")
        reduction.mkdir()
        shutil.copy(Path(casadata.datapath, "demo", "NGC5921.fits"), reduction)
        for picture in take_pictures(reduction):
            make_small(picture)


if __name__ == "__main__":
    main()
