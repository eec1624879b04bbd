"""A child process for test_readers.py: measures with one reader, so that two casacores never meet in one process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from casaprov.digests.measurement import measure
from casaprov.processes.worker import serve
from casaprov.readers.installed import fits_reader


def trees(reader: str, paths: list[str]) -> list[Any]:
    """Return the trees of tables as a reader gives them."""
    if reader == "casatools":
        from casaprov.readers.casatools_tables import CasatoolsReader

        tables: Any = CasatoolsReader()
    else:
        from casaprov.readers.casacore_tables import CasacoreReader

        tables = CasacoreReader()
    return [measure(Path(path), lambda: tables, fits_reader).tree for path in paths]


def make(folder: str) -> list[str]:
    """Make the kinds of tables that CASA writes and the observations do not have."""
    import numpy as np
    from casatools import componentlist, image, table

    here, rng = Path(folder), np.random.default_rng(0)
    ia = image()
    ia.fromarray(str(here / "masked.im"), rng.normal(size=(40, 30, 1, 7)))
    ia.calcmask(f"'{here / 'masked.im'}' > 0", name="m1")
    ia.setrestoringbeam("3arcsec", "2arcsec", "10deg")
    ia.done()
    ia.fromarray(str(here / "complex.im"), rng.normal(size=(20, 10, 3)) + 1j * rng.normal(size=(20, 10, 3)))
    ia.done()
    ia.fromarray(str(here / "double.im"), rng.normal(size=(20, 10, 3)), type="d")
    ia.done()
    components = componentlist()
    components.addcomponent(
        dir="J2000 10h0m0s 0d0m0s",
        flux=2.5,
        shape="Gaussian",
        majoraxis="3arcsec",
        minoraxis="2arcsec",
        positionangle="1deg",
    )
    components.addcomponent(
        dir="J2000 10h0m1s 0d0m0s", flux=[1, 0.1, 0.2, 0.3], spectrumtype="spectral index", index=-0.7
    )
    components.rename(str(here / "source.cl"))
    components.close()
    tb = table()
    tb.open(str(here / "masked.im"))
    tb.query("", name=str(here / "selected.im")).close()
    tb.done()
    return [str(here / name) for name in ("masked.im", "complex.im", "double.im", "source.cl", "selected.im")]


def reduce(fits: str, folder: str) -> None:
    """Reduce an observation as far as every kind of table is there once; in `folder`."""
    import os

    from casatasks import applycal, bandpass, flagdata, gaincal, gencal, importuvfits, setjy, tclean

    os.chdir(folder)
    importuvfits(fitsfile=fits, vis="x.ms")
    flagdata(vis="x.ms", mode="manual", autocorr=True)
    setjy(vis="x.ms", field="0", standard="Perley-Taylor 99", usescratch=False)
    bandpass(vis="x.ms", caltable="x.b", field="0", solint="inf", combine="scan", refant="15")
    gaincal(vis="x.ms", caltable="x.g", field="0,1", spw="0:6~56", solint="inf", refant="15", gaintable=["x.b"])
    gaincal(vis="x.ms", caltable="x.k", field="0", gaintype="K", solint="inf", refant="15")
    gencal(vis="x.ms", caltable="x.amp", caltype="amp", parameter=[1.1])
    applycal(vis="x.ms", gaintable=["x.b", "x.g"])
    tclean(
        vis="x.ms", imagename="x", field="2", specmode="cube", nchan=3, imsize=64, cell="30arcsec", niter=20, pbcor=True
    )


if __name__ == "__main__":
    serve({"trees": trees, "make": make, "reduce": reduce})
