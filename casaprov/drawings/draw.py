"""The graph of a Document as a file: a picture, or text for other programs.

The format follows from the name. casaprov draws ``.svg`` itself; for ``.png`` and ``.pdf`` Graphviz's program ``dot``
lays out the same rows and lines.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from casaprov.drawings.dot import to_dot
from casaprov.drawings.graph_json import to_graph
from casaprov.drawings.mermaid import to_mermaid
from casaprov.drawings.svg import to_svg
from casaprov.errors import CasaprovError, MissingDependency, UsageError
from casaprov.records.model import Document

__all__ = ["DRAWING_FORMATS", "draw"]

DRAWING_FORMATS: Final = (".svg", ".png", ".pdf", ".dot", ".mmd", ".json")

_PIXELS_PER_INCH = 150
_TIMEOUT_S = 120


def draw(document: Document, path: Path, numbers: Mapping[str, int] | None = None) -> None:
    """Write the graph to `path`, in the format that its suffix names.

    Parameters
    ----------
    numbers
        Number of each call, by Activity id; by default its place in `document`.

    Raises
    ------
    UsageError
        If the suffix is none of :data:`DRAWING_FORMATS`.
    MissingDependency
        If the format needs Graphviz and its ``dot`` is not installed.
    CasaprovError
        If ``dot`` fails.
    OSError
        If the file cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix not in DRAWING_FORMATS:
        raise UsageError(f"A graph cannot be drawn into {path}.", hint=f"Its name may end in {_listed()}.")
    if suffix in (".png", ".pdf"):
        path.write_bytes(_rendered(to_dot(document, numbers), suffix.removeprefix(".")))
        return
    texts = {".svg": to_svg, ".dot": to_dot, ".mmd": to_mermaid}
    write = texts.get(suffix)
    text = write(document, numbers) if write else json.dumps(to_graph(document, numbers), indent=1) + "\n"
    path.write_text(text, encoding="utf-8")


def _listed() -> str:
    return f"{', '.join(DRAWING_FORMATS[:-1])} or {DRAWING_FORMATS[-1]}"


def _rendered(dot: str, kind: str) -> bytes:
    program = shutil.which("dot")
    if program is None:
        raise MissingDependency(
            f"Drawing a {kind} file takes Graphviz, whose program 'dot' is not installed.",
            hint="Install it with 'apt-get install graphviz' or 'brew install graphviz',"
            " or write a .svg file, which takes no other program.",
        )
    command = [program, f"-T{kind}", f"-Gdpi={_PIXELS_PER_INCH}"] if kind == "png" else [program, f"-T{kind}"]
    try:
        done = subprocess.run(command, input=dot.encode(), capture_output=True, check=False, timeout=_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        hint = "Draw a part of it, with --upstream or --downstream."
        raise CasaprovError(f"Graphviz did not draw this graph within {_TIMEOUT_S} s.", hint=hint) from None
    if done.returncode != 0:
        message = done.stderr.decode(errors="replace").strip()
        raise CasaprovError(f"Graphviz could not draw the graph: {message}", hint="Write a .dot file and look at it.")
    return done.stdout
