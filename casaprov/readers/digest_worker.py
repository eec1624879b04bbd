"""The child process that measures and compares products.

It runs as ``python -m casaprov.readers.digest_worker``; see
:mod:`casaprov.worker`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from casaprov.checksum import measure as measure_product
from casaprov.checksum import to_json
from casaprov.model import unstructure
from casaprov.readers import fits_reader, table_reader
from casaprov.worker import serve

__all__ = ["compare", "measure"]


def measure(path: str) -> dict[str, Any]:
    """Measure the product at `path`; return a Measurement as JSON values."""
    return to_json(measure_product(Path(path), table_reader, fits_reader))


def compare(left: str, right: str, tolerance: dict[str, float]) -> Any:
    """Compare two products; return a Comparison as JSON values."""
    from casaprov.compare import Tolerance, compare_paths

    comparison = compare_paths(
        Path(left), Path(right), reader=table_reader, fits=fits_reader, tolerance=Tolerance(**tolerance)
    )
    return unstructure(comparison)


if __name__ == "__main__":
    # casacore loads what a table calls its storage manager as "lib<name>.so", with "/" and ".." in
    # the name looked up from the working directory: it must be one where nobody can put a file.
    os.chdir(Path(__file__).parent)
    serve({"measure": measure, "compare": compare})
