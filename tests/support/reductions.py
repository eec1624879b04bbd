"""Small real reductions for tests: notebooks run with casaprov, and their crates."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

from casaprov.cli.commands import main

REDUCTION = (
    "%load_ext casaprov",
    "from casatasks import exportfits, flagdata, gaincal, importuvfits, imstat, listobs, setjy, tclean",
    "importuvfits(fitsfile='NGC5921.fits', vis='n.ms')\nlistobs('n.ms', listfile='n.txt')",
    "flagdata(vis='n.ms', autocorr=True)\nsetjy(vis='n.ms', field='0', standard='Perley-Taylor 99')",
    "gaincal(vis='n.ms', caltable='n.gcal', field='0', spw='0:6~56', solint='inf', refant='15')",
    "tclean(vis='n.ms', imagename='n', field='0', imsize=64, cell='15arcsec', niter=10)",
    "exportfits(imagename='n.image', fitsimage='n.fits')\npeak = imstat('n.image')['max'][0]\nprint(peak)",
)

BESIDE = {"datacite": "json", "codemeta": "json", "obscore": "xml", "datalink": "xml"}
"""Descriptions beside the crate, with the suffix of their files."""


@dataclass(frozen=True)
class Reduction:
    """A notebook that was run, in a folder of its own, and its crate."""

    folder: Path
    notebook: Path
    crate: Path
    data: Path


def write_notebook(path: Path, cells: Iterable[str]) -> Path:
    """Write a notebook with these code cells."""
    notebook = new_notebook(cells=[new_code_cell(cell) for cell in cells])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)
    return path


def reduce(folder: Path, fits: Path, cells: Iterable[str] = REDUCTION) -> Reduction:
    """Run a reduction of `fits` in `folder` and pack it; the input stays beside the notebook."""
    notebook = write_notebook(folder / "n.ipynb", cells)
    shutil.copy(fits, folder / "NGC5921.fits")
    assert main(["run", str(notebook)]) == 0
    made = reduction_in(folder)
    beside = {kind: str(folder / f"n.{kind}.{suffix}") for kind, suffix in BESIDE.items()}
    descriptions = [word for kind, path in beside.items() for word in (f"--{kind}", path)]
    assert main(["export", str(notebook), "-o", str(made.crate), *descriptions]) == 0
    return made


def reduction_in(folder: Path) -> Reduction:
    """Return the names of what `reduce` made in a folder."""
    return Reduction(folder=folder, notebook=folder / "n.ipynb", crate=folder / "n.crate.zip", data=folder)
