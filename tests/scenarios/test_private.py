"""A notebook with secrets, in somebody's home: nothing of it is in the masked crate, which replays."""

from __future__ import annotations

import json
import random
import string
import zipfile
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from casaprov.cli.commands import main
from reductions import write_notebook

pytestmark = [pytest.mark.casa, pytest.mark.slow, pytest.mark.long]

RANDOM = random.Random(7)
TOKEN, KEY, PASSWORD = (
    start + "".join(RANDOM.choice(string.ascii_letters + string.digits) for _ in range(count))
    for start, count in (("ghp" + "_", 36), ("k1", 30), ("p1", 14))
)
CELLS = (
    f"%load_ext casaprov\nfrom casatasks import *\nimport os\nTOKEN = '{TOKEN}'\nos.environ['ARCHIVE_API_KEY'] = '{KEY}'",
    "importfits(fitsimage=os.path.expanduser('~/data/cube.fits'), imagename='m.image')",
    f"imhead('m.image', mode='put', hdkey='observer', hdvalue='https://user:{PASSWORD}@archive.example.org/x')",
    "print(os.environ['ARCHIVE_API_KEY'], os.getcwd())",
)


@pytest.mark.usefixtures("casa_site_config")
def test_a_masked_crate_holds_no_secret_and_no_home_and_replays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home" / "anna"
    (home / "data").mkdir(parents=True)
    fits.writeto(home / "data" / "cube.fits", np.ones((4, 1, 8, 8), "f4"))
    monkeypatch.setenv("HOME", str(home))
    notebook = write_notebook(home / "work" / "n.ipynb", CELLS)
    assert main(["run", str(notebook)]) == 0
    before = notebook.read_bytes()
    capsys.readouterr()
    assert main(["export", str(notebook), "-o", str(tmp_path / "x.zip")]) == 3
    error = capsys.readouterr().err
    assert not (tmp_path / "x.zip").exists()
    assert all(place in error for place in ("cell 1", "the output of cell 4", "parameter hdvalue of call 2 (imhead)"))
    assert main(["export", str(notebook), "-o", str(tmp_path / "x.zip"), "--redact"]) == 0
    assert notebook.read_bytes() == before
    with zipfile.ZipFile(tmp_path / "x.zip") as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    texts = {name: data for name, data in files.items() if b"\0" not in data}
    assert [name for name, data in files.items() if any(s.encode() in data for s in (TOKEN, KEY, PASSWORD))] == []
    assert [name for name, data in texts.items() if str(home).encode() in data] == []
    assert main(["validate", str(tmp_path / "x.zip")]) == 0
    capsys.readouterr()
    assert main(["replay", str(tmp_path / "x.zip"), "--work", str(tmp_path / "again"), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert {product["path"]: product["comparison"]["verdict"] for product in report["products"]} == {
        "m.image": "same-content"
    }
