"""A child process that changes, compares and measures products, for tests.

python-casacore is loaded here and nowhere else: the test process may hold CASA.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from casacore.tables import table

from casaprov.comparison.verdict import Tolerance
from casaprov.digests.measurement import measure
from casaprov.processes.worker import serve
from casaprov.readers.installed import fits_reader, table_reader
from casaprov.readers.products import compare_products


def change_table(path: str, code: str) -> None:
    """Run `code` with the table as ``t``, open for writing."""
    opened = table(path, readonly=False, ack=False)
    exec(code, {"t": opened, "np": np, "table": table})
    opened.close()


def change_fits(path: str, code: str) -> None:
    """Run `code` with the HDUs as ``hdus``, open for writing."""
    with fits.open(path, mode="update", output_verify="ignore") as hdus:
        exec(code, {"hdus": hdus, "np": np})


def compare(left: str, right: str, rtol: float = 0.0, atol: float = 0.0) -> dict[str, Any]:
    return asdict(compare_products(Path(left), Path(right), Tolerance(rtol, atol)))


def measured(path: str) -> dict[str, Any]:
    return measure(Path(path), table_reader, fits_reader).to_json()


if __name__ == "__main__":
    serve({"change_table": change_table, "change_fits": change_fits, "compare": compare, "measured": measured})
