"""``%casaprov export``: a crate of the notebook as it was last saved, packed by its own kernel."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from casaprov.crates.payload import PayloadPolicy
from casaprov.digests.measurement import Measure, Measurement
from casaprov.errors import UsageError
from casaprov.kernel.page import Line, Part, Table
from casaprov.notebook.export import export_notebook
from casaprov.notebook.notebook_name import UNNAMED
from casaprov.records.model import Document

__all__ = ["exported"]


def exported(
    document: Document,
    notebook: Path,
    out: Path,
    keep_up_to: int,
    measure: Measure[Measurement],
    *,
    overwrite: bool = False,
) -> list[Part]:
    """Pack a notebook from inside and return a page that lists the packed files.

    The kernel cannot save the notebook. The crate gets the file on disk with the record of all calls, those in cells
    that were changed since included.

    Raises
    ------
    UsageError
        If the kernel does not know the notebook's file.
    CasaprovError
        If it cannot be packed.
    """
    if notebook.name == UNNAMED or not notebook.is_file():
        reason = (
            "This kernel does not know its notebook's file" if notebook.name == UNNAMED else f"There is no {notebook}"
        )
        raise UsageError(
            f"{reason}, so it cannot be packed.",
            hint="Save it, then run in a terminal: casaprov export NOTEBOOK.ipynb -o CRATE.zip",
        )
    policy = PayloadPolicy(max_kept_bytes=keep_up_to)
    packed = export_notebook(notebook, out, policy=policy, measure=measure, overwrite=overwrite)
    when = datetime.fromtimestamp(notebook.stat().st_mtime, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    shipped = sum(item.decision == "shipped" for item in packed.items)
    parts: list[Part] = [
        Line(f"{packed.path}, {packed.size_bytes / 1e6:.1f} MB, {packed.digest}", "Packed:"),
        Line(f"{notebook.name} as it was saved at {when}, and the record of {len(document.activities)} calls."),
    ]
    parts += [Line(line) for line in packed.outlook]
    parts += [Line(note, "⚠️") for note in packed.notes]
    rows = tuple(
        (item.entity.path, f"{item.size_bytes / 1e6:.2f} MB", item.decision, item.reason)
        for item in sorted(packed.items, key=lambda item: item.decision != "shipped")
    )
    title = f"{shipped} of {len(packed.items)} files and tables are in the crate"
    return [*parts, Table(title, ("product", "size", "in the crate", "why"), rows)]
