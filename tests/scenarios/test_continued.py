"""The tutorial's own repair: a cell is edited, it and those below run again, and tclean goes on from its old model."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from casaprov.casa.installed.data import DataSource
from casaprov.cli.commands import main
from watched_kernel import SETTLE, WatchedKernel, saved_kernel

pytestmark = [pytest.mark.casa, pytest.mark.long, pytest.mark.usefixtures("casa_site_config")]

BANDPASS = "bandpass(vis='n.ms', caltable='n.bcal', field='0', solint='inf', refant='{}');"
CELLS = {
    "fill": "%load_ext casaprov\nfrom casatasks import *\nimportuvfits(fitsfile={fits!r}, vis='n.ms')",
    "flag": "flagdata(vis='n.ms', autocorr=True)\nmodel = setjy(vis='n.ms', field='0', standard='Perley-Taylor 99')",
    "band": BANDPASS.format(15),
    "gain": "gaincal(vis='n.ms', caltable='n.gcal', field='0,1', solint='inf', refant='15', gaintable='n.bcal');",
    "apply": "applycal(vis='n.ms', field='0,1', gaintable=['n.bcal', 'n.gcal'])",
    "clean": "cleaned = tclean(vis='n.ms', imagename='1445', field='1', imsize=64, cell='15arcsec', niter=100)",
}
REPAIRED = {**CELLS, "band": BANDPASS.format(8)}


@pytest.fixture(scope="module")
def kernel(
    casa_site_config: DataSource, ngc5921_fits: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WatchedKernel]:
    with saved_kernel(tmp_path_factory.mktemp("continued"), REPAIRED, ngc5921_fits) as (kernel, sources):
        for name in CELLS:
            kernel.run(CELLS["band"] if name == "band" else sources[name], name)
        yield kernel


def run(kernel: WatchedKernel, name: str) -> str:
    """Run a cell again and return what it says when all its records are finished."""
    shown = kernel.run(REPAIRED[name], name)
    kernel.run(SETTLE)
    return shown.plain


def test_what_went_on_from_an_old_run_is_told_everywhere(
    kernel: WatchedKernel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "stale" not in kernel.run("%casaprov").plain.replace("Nothing is stale", "")
    assert "n.bcal" not in run(kernel, "band")  # it was just made anew
    lines = [line for line in kernel.run("%casaprov").plain.splitlines() if " used n.bcal as it was " in line]
    stale = [word.rstrip(",") for line in lines for word in line.partition(" used n.bcal ")[0].split()]
    assert "n.gcal" in stale
    assert "n.bcal" not in stale
    for name in ("gain", "apply"):
        assert "Continued" not in run(kernel, name)
    shown = run(kernel, "clean")
    assert "Continued: tclean continued from " in shown
    assert "1445.model" in shown
    status = kernel.run("%casaprov").plain
    assert "Cell 6 (tclean) continued from " in status
    assert any("1445.image" in line.partition(": ")[0] and "continued from" in line for line in status.splitlines())
    crate = tmp_path / "n.crate.zip"
    assert main(["export", str(kernel.folder / "n.ipynb"), "-o", str(crate)]) == 0
    assert "1445.image is stale: tclean continued from " in capsys.readouterr().err.replace("\n", " ")
    with zipfile.ZipFile(crate) as archive:
        assert "1445.image is stale: tclean continued from " in archive.read("README.md").decode()
    assert main(["validate", str(crate)]) == 0
    kernel.run("rmtables('1445.*')")
    assert "Continued" not in run(kernel, "clean")
    assert "1445.image is stale" not in kernel.run("%casaprov").plain
