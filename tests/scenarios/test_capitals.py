"""A reduction on a disk that does not tell capitals apart: each product is one, and other disks replay it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from casaprov.cli.commands import main
from casaprov.crate import open_crate
from casaprov.records.model import Document
from mounted import mounted
from reductions import write_notebook

pytestmark = [pytest.mark.casa, pytest.mark.long, pytest.mark.usefixtures("casa_site_config")]

CELLS = (
    "%load_ext casaprov\nfrom casatasks import *\nimportfits('INPUT.fits', 'One.image')",
    "imsubimage('one.IMAGE', outfile='Two.image', box='1,1,5,5')",
    "exportfits('TWO.image', 'Three.fits')\nexportfits('two.image', 'THREE.fits', overwrite=True)\nimstat('oNE.image')",
)


def paths(document: Document) -> list[tuple[str, list[str], list[str]]]:
    path = {entity.id: entity.path.lower() for entity in document.entities}  # this disk lists all in small letters
    return [
        (a.task, [path[u.entity] for u in a.used], [path[u.entity] for u in a.generated]) for a in document.activities
    ]


def test_a_product_is_one_by_whichever_spelling_tasks_name_it(tmp_path: Path) -> None:
    with mounted("ntfs", tmp_path) as disk:
        fits.PrimaryHDU(np.arange(64.0).reshape(8, 8)).writeto(disk / "Input.fits")
        notebook = write_notebook(disk / "n.ipynb", CELLS)
        assert main(["run", str(notebook)]) == 0
        assert main(["export", str(notebook), "-o", str(tmp_path / "n.zip")]) == 0
    assert paths(open_crate(tmp_path / "n.zip", tmp_path / "opened").document) == [
        ("importfits", ["input.fits"], ["one.image"]),
        ("imsubimage", ["one.image"], ["two.image"]),
        ("exportfits", ["two.image"], ["three.fits"]),
        ("exportfits", ["two.image"], ["three.fits"]),
        ("imstat", ["one.image"], []),
    ]
    assert main(["replay", str(tmp_path / "n.zip"), "--work", str(tmp_path / "replayed")]) == 0
