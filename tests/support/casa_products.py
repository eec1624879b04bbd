"""A child process for tests: makes one of each kind of product that CASA writes, from small data.

Each function works where the process started, an empty folder, and returns the names of what it made.
Tables that a task would not write go by the tool that makes them.
"""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path
from typing import Any

from casaprov.processes.worker import serve

INTERVALS = ("amp", "ph", "sbd", "mbd", "antpos", "opac", "gc", "gceff", "eff")
"""Kinds of ``gencal`` that need neither tables from the observatory nor the network."""


def vla(fits: str) -> list[str]:
    """Reduce a VLA observation: measurement sets, calibration tables and images of all kinds."""
    from casatasks import flagdata, importuvfits, setjy

    importuvfits(fitsfile=fits, vis="n.ms")
    flagdata("n.ms", autocorr=True)
    setjy("n.ms", field="0", standard="Perley-Taylor 99", usescratch=True)
    _calibrate()
    _sets()
    _images()
    return _made()


def _calibrate() -> None:
    from casatasks import applycal, bandpass, blcal, fluxscale, gaincal, gencal, smoothcal

    on: dict[str, Any] = {"vis": "n.ms", "field": "0", "refant": "15"}
    gaincal(caltable="n.G", spw="0:6~56", solint="int", **on)
    gaincal(caltable="n.T", gaintype="T", solint="inf", **on)
    gaincal(caltable="n.K", gaintype="K", solint="inf", **on)
    gaincal(caltable="n.GSPLINE", gaintype="GSPLINE", splinetime=10000.0, **on)
    bandpass(caltable="n.B", solint="inf", combine="scan", **on)
    bandpass(caltable="n.BPOLY", bandtype="BPOLY", solint="inf", degamp=2, degphase=2, **on)
    blcal("n.ms", caltable="n.M", field="0", solint="inf")
    gaincal(caltable="n.G2", **{**on, "field": "0,1"}, spw="0:6~56", solint="inf", gaintable=["n.B"])
    fluxscale("n.ms", caltable="n.G2", fluxtable="n.flux", reference="0", transfer="1")
    smoothcal("n.ms", tablein="n.G", caltable="n.smooth", smoothtime=600.0)
    parameters = {"antpos": [0.1, 0, 0], "gc": [], "gceff": [], "eff": []}
    for kind in INTERVALS:
        of: dict[str, Any] = {"antenna": "5"} if kind == "antpos" else {"spw": "0"} if kind == "opac" else {}
        gencal("n.ms", caltable=f"n.{kind}", caltype=kind, parameter=parameters.get(kind, [1.1]), **of)
    applycal("n.ms", gaintable=["n.B", "n.flux"], gainfield=["0", ""])


def _sets() -> None:
    from casatasks import concat, cvel2, flagmanager, mstransform, partition, setjy, split, virtualconcat

    flagmanager("n.ms", mode="save", versionname="v1", comment="Müller")
    split("n.ms", "split.ms", field="2", datacolumn="corrected", width=3)
    setjy("split.ms", field="0", standard="manual", fluxdensity=[1, 0, 0, 0], usescratch=False)
    mstransform("split.ms", "averaged.ms", datacolumn="data", regridms=True, outframe="LSRK", nchan=5, mode="channel")
    cvel2("split.ms", "cvel2.ms", mode="velocity", nchan=2, restfreq="1420.4MHz", datacolumn="data")
    concat(["split.ms", "averaged.ms"], "concat.ms")
    virtualconcat(["split.ms", "averaged.ms"], "virtual.mms", keepcopy=True)
    partition("split.ms", "parts.mms", createmms=True, separationaxis="scan", flagbackup=False, datacolumn="data")


def _images() -> None:
    from casatasks import exportfits, imcollapse, imfit, immoments, importfits, impv, imsmooth, imsubimage, tclean

    small: dict[str, Any] = {"vis": "n.ms", "imsize": 32, "cell": "30arcsec", "niter": 10}
    tclean(imagename="cube", field="2", specmode="cube", nchan=3, pbcor=True, **small)  # a beam for each plane
    tclean(imagename="mt", field="0", deconvolver="mtmfs", nterms=2, savemodel="virtual", **small)
    immoments("cube.image", moments=[0], outfile="moment.im")
    impv("cube.image", "pv.im", start=[5, 5], end=[25, 25])
    imsmooth("cube.image", major="200arcsec", minor="200arcsec", pa="0deg", outfile="smooth.im")
    imsubimage("cube.image", "sub.im", region="circle[[16pix,16pix],5pix]")
    imcollapse("cube.image", function="mean", axes=3, outfile="collapsed.im")
    imfit("cube.image", box="10,10,22,22", chans="0", residual="rest.im", model="model.im", complist="fit.cl", rms=0.1)
    exportfits("cube.image", "cube.fits")
    importfits("cube.fits", "imported.im")


def evla(archive: str) -> list[str]:
    """Calibrate the polarisation of an EVLA observation with four correlations."""
    from casatasks import gaincal, gencal, polcal, polfromgain, setjy, tclean

    with tarfile.open(archive) as packed:
        packed.extractall(filter="data")
    (vis,) = (path.name for path in Path().iterdir() if path.suffix == ".ms")
    setjy(vis, standard="manual", fluxdensity=[1.29, 0.02, 0.03, 0], usescratch=True)
    on: dict[str, Any] = {"vis": vis, "refant": "1", "solint": "inf", "combine": "scan"}
    gaincal(caltable="e.G", **on)
    gaincal(caltable="e.Kcross", gaintype="KCROSS", **on)
    for kind in ("D", "Df", "Dlls", "Dgen", "Xf", "PosAng"):
        polcal(caltable=f"e.{kind}", poltype=kind, gaintable=["e.G"], **on)
    polfromgain(vis, tablein="e.G", caltable="e.fromgain")
    gencal(vis, caltable="e.gc", caltype="gc")
    tclean(vis, imagename="iquv", imsize=32, cell="0.4arcsec", niter=2, stokes="IQUV")
    return _made()


def vlba(fits: str) -> list[str]:
    """Import an observation of the VLBA and fit fringes."""
    from casatasks import fringefit, importuvfits

    importuvfits(fits, "v.ms")
    fringefit("v.ms", caltable="v.fringes", solint="inf", refant="4", scan="1", corrdepflags=True)
    return _made()


def tools() -> list[str]:
    """Make what the image, table and component tools write and tasks do not."""
    from casatools import componentlist, image, regionmanager, table

    ia, regions, tb, components = image(), regionmanager(), table(), componentlist()
    for kind in ("f", "d", "c", "cd"):
        ia.fromshape(f"{kind}.im", [9, 8, 1, 3], type=kind)
        ia.done()
    ia.open("f.im")
    ia.setbrightnessunit("Jy/beam")
    for channel in range(3):
        ia.setrestoringbeam(f"{3 + channel}arcsec", "2arcsec", "10deg", channel=channel)
    ia.calcmask("'f.im' >= 0", name="m1")
    ia.calcmask("'f.im' < 0", name="m2", asdefault=False)
    ia.setmiscinfo({"INSTRUME": "VLA", "numbers": [1.0, 2.0], "observer": "Müller"})
    ia.sethistory("test", "written by a test")
    ia.done()
    corner = regions.box([1, 1, 0, 0], [5, 5, 0, 1])
    regions.fromrecordtotable(tablename="f.im", regionname="corner", asmask=False, regionrec=corner)
    for how in ("paged", "nomove"):
        ia.imageconcat(f"{how}.im", ["f.im", "f.im"], axis=3, relax=True, reorder=False, mode=how).done()
    ia.imagecalc("calculated.im", "'f.im' + 1").done()
    components.addcomponent(dir="J2000 10h0m0s 0d0m0s", flux=2.5, shape="disk", majoraxis="3arcsec",
                            minoraxis="2arcsec", positionangle="1deg")  # fmt: skip
    components.rename("source.cl")
    components.done()
    tb.open("f.im")
    tb.query("", name="all.tab").close()
    tb.copy("copy.tab", deep=True, valuecopy=True).close()
    tb.done()
    return _made()


def models(fits: str, niter: int) -> list[str]:
    """Set virtual models, of a calibrator in its SOURCE table, in keywords where there is none, and of a cleaned field."""
    from casatasks import ft, importuvfits, setjy, tclean
    from casatools import table

    importuvfits(fitsfile=fits, vis="set.ms")
    for name in ("bare.ms", "cleaned.ms", "ft.ms"):
        shutil.copytree("set.ms", name)
    tb = table()
    tb.open("bare.ms", nomodify=False)
    tb.removekeyword("SOURCE")
    tb.done()
    shutil.rmtree("bare.ms/SOURCE")
    for name in ("set.ms", "bare.ms"):
        setjy(name, field="0", model="3C286_L.im", usescratch=False)
    small: dict[str, Any] = {"field": "0", "imsize": 32, "cell": "30arcsec", "niter": niter}
    tclean("cleaned.ms", imagename="mt", deconvolver="mtmfs", nterms=2, savemodel="virtual", **small)
    ft("ft.ms", field="0", model=["mt.model.tt0", "mt.model.tt1"], nterms=2)
    return ["set.ms", "bare.ms", "cleaned.ms", "ft.ms"]


def _made() -> list[str]:
    return sorted(path.name for path in Path().iterdir() if path.is_dir() or path.suffix == ".fits")


if __name__ == "__main__":
    serve({"vla": vla, "evla": evla, "vlba": vlba, "tools": tools, "models": models})
