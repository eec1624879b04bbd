"""The child process that measures and compares products.

It runs as ``python -m casaprov.confinement.worker casaprov.readers.digest_worker``; see
:mod:`casaprov.processes.worker`. Its functions take and return JSON values.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from casaprov.digests import table_parts
from casaprov.digests.measurement import measure as measure_product
from casaprov.digests.measurement import measure_member
from casaprov.digests.table import Part
from casaprov.digests.table_parts import NotingReader
from casaprov.errors import CasaprovError, MissingDependency
from casaprov.processes.worker import serve
from casaprov.readers.installed import fits_reader, table_reader
from casaprov.records.model import Tier
from casaprov.records.serialise import unstructure

__all__ = ["FUNCTIONS", "main"]

_READERS: Mapping[str, Callable[[], Any]] = {"tables": table_reader, "fits": fits_reader}


def _prepare(kind: str) -> None:
    """Load the library for ``tables`` or ``fits`` before the first product is waited for."""
    with suppress(MissingDependency):
        _READERS[kind]()


def _measure(path: str, tier: Tier) -> dict[str, Any]:
    """Measure a file."""
    return measure_product(Path(path), table_reader, fits_reader, tier=tier).to_json()


def _members(paths: list[str], tier: Tier) -> dict[str, Any]:
    """Measure members of a folder."""
    opened: list[Path] = []

    def reader() -> NotingReader:
        return NotingReader(table_reader(), opened)

    members = [measure_member(Path(path), reader, fits_reader, tier) for path in paths]
    return {"answers": members, "opened": [str(table) for table in opened]}


def _outline(path: str) -> dict[str, Any]:
    return table_parts.outline(Path(path), table_reader()).to_json()


def _leaves(path: str, columns: list[str], tier: Tier) -> dict[str, Any]:
    leaves = table_parts.leaves(Path(path), columns, tier, table_reader())
    return {name: leaf.to_json() for name, leaf in leaves.items()}


def _nodes(paths: list[str], above: list[str], tier: Tier) -> dict[str, Any]:
    opened: list[Path] = []
    reader = NotingReader(table_reader(), opened)
    nodes = table_parts.nodes([Path(path) for path in paths], [Path(path) for path in above], tier, reader)
    return {"answers": [node.to_json() for node in nodes], "opened": [str(table) for table in opened]}


def _runs(path: str, column: str) -> Any:
    return table_parts.runs(Path(path), column, table_reader())


def _part(path: str, column: str, which: dict[str, Any]) -> dict[str, Any]:
    return table_parts.part(Path(path), column, Part.from_json(which), table_reader()).to_json()


def _observe(path: str, *, with_observer: bool) -> Any:
    """Read the observations of a file or table from its headers."""
    from casaprov.readers.observed import observed

    return unstructure(observed(Path(path), with_observer=with_observer))


def _quick_looks(paths: list[str]) -> list[dict[str, Any] | None]:
    """Return a small picture of each image."""
    from casaprov.readers.pictures import quick_look

    found: list[dict[str, Any] | None] = []
    for path in paths:
        try:
            found.append(quick_look(Path(path)))
        except CasaprovError:
            found.append(None)  # a picture is no reason to fail
    return found


def _compare(left: str, right: str, tolerance: dict[str, float]) -> Any:
    """Compare two products."""
    from casaprov.comparison.products import Tolerance, compare_paths
    from casaprov.readers.pictures import read_pixels

    comparison = compare_paths(
        Path(left),
        Path(right),
        reader=table_reader,
        fits=fits_reader,
        pixels=read_pixels,
        tolerance=Tolerance(**tolerance),
    )
    return unstructure(comparison)


def _same_listing(recorded: str, recorded_at: str, present: str, present_at: str, moved: Mapping[str, str]) -> bool:
    """Compare two texts but for folder names, padding and the time of writing."""
    from casaprov.comparison.listings import same_listing

    began, now = datetime.fromisoformat(recorded_at), datetime.fromisoformat(present_at)
    return same_listing(Path(recorded), began, Path(present), now, moved)


FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "compare": _compare,
    "leaves": _leaves,
    "measure": _measure,
    "members": _members,
    "nodes": _nodes,
    "observe": _observe,
    "outline": _outline,
    "part": _part,
    "prepare": _prepare,
    "quick_looks": _quick_looks,
    "runs": _runs,
    "same_listing": _same_listing,
}
"""Functions that the child answers calls of; see :mod:`casaprov.digests.table_parts`."""


def main() -> None:
    """Serve until the parent closes the pipe."""
    # casacore loads what a table calls its storage manager as "lib<name>.so", with "/" and ".." in
    # the name looked up from the working directory: it must be one that nobody else can write to.
    os.chdir(Path(__file__).parent)
    serve(FUNCTIONS)


if __name__ == "__main__":
    main()
