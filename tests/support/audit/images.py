"""What is audited of imaging and of work with images."""

from __future__ import annotations

from pathlib import Path

from audit.recording import Audited

__all__ = ["analyse", "image", "simulate"]

REGION = "circle[[32pix,32pix],10pix]"


def image(casa: Audited) -> None:
    """Imaging with all that belongs to it."""
    square = {"imsize": 64, "cell": "30arcsec"}
    cube = {"vis": "line.ms", "imagename": "line", "specmode": "cube", "nchan": 4, "start": 10, **square}
    Path("mask.crtf").write_text("#CRTFv0\ncircle[[32pix,32pix],8pix]\n")
    Path("outlier.txt").write_text(
        "imagename=outlier\nimsize=[32,32]\ncell=30arcsec\nphasecenter=J2000 15h24m00s +05d04m00s\n"
        "mask=circle[[16pix,16pix],4pix]\n"
    )
    casa.tclean(niter=5, mask="mask.crtf", restoringbeam="common", **cube)
    casa.tclean(niter=8, savemodel="modelcolumn", restoringbeam="common", calcpsf=False, **cube)
    casa.tclean(niter=12, savemodel="virtual", restoringbeam="common", calcpsf=False, calcres=False, **cube)
    casa.tclean(vis="a.ms", imagename="mt", niter=5, deconvolver="mtmfs", nterms=2, pbcor=True, pblimit=-0.1, **square)
    casa.tclean(vis="a.ms", imagename="main", niter=5, outlierfile="outlier.txt", **square)
    Path("outlier.txt").write_text(
        "imagename=outlier\nimsize=[32,32]\ncell=30arcsec\nphasecenter=J2000 15h24m00s +05d04m00s\n"
    )
    casa.tclean(
        vis="a.ms", imagename="main", niter=7, outlierfile="outlier.txt", calcres=False, calcpsf=False, **square
    )
    casa.tclean(vis="a.ms", imagename="main", niter=1, restart=False, **square)
    casa.tclean(
        vis=["a.ms", "b.ms"],
        imagename="started",
        niter=1,
        startmodel="main.model",
        usemask="auto-multithresh",
        **square,
    )
    casa.tclean(vis="a.ms", imagename="dirty", niter=0, usemask="user", mask="started.mask", **square)
    casa.deconvolve(imagename="dirty", niter=5, deconvolver="hogbom")
    casa.widebandpbcor(vis="a.ms", imagename="mt", nterms=2, action="calcalpha", threshold="0.01Jy")
    casa.widebandpbcor(vis="a.ms", imagename="mt", nterms=2, action="pbcor", threshold="0.01Jy", spwlist=[0, 0],
                       chanlist=[10, 30], weightlist=[1.0, 1.0])  # fmt: skip
    casa.ft(vis="a.ms", model="main.model", usescratch=False)
    casa.impbcor(imagename="line.image", pbimage="line.pb", outfile="line.pbcor")
    casa.feather(imagename="feathered.im", highres="main.image", lowres="dirty.image")
    casa.makemask(mode="copy", inpimage="line.image", inpmask="mask.crtf", output="region.mask")
    casa.makemask(mode="copy", inpimage="main.image", inpmask="dirty.mask", output="dirty.image:inner", overwrite=True)
    casa.makemask(mode="list", inpimage="dirty.image")
    casa.makemask(mode="setdefaultmask", inpimage="dirty.image", inpmask="dirty.image:inner")
    casa.makemask(mode="delete", inpmask="dirty.image:inner")
    casa.makemask(
        mode="expand", inpimage="line.image", inpmask="region.mask", inpfreqs=[0], outfreqs=[1, 2], output="wide.mask"
    )


def analyse(casa: Audited) -> None:
    """The analysis tasks, most on a cube of four channels."""
    line = {"imagename": "line.image"}
    casa.exportfits(fitsimage="line.fits", **line)
    casa.importfits("line.fits", "back.im", defaultaxes=True, defaultaxesvalues=["", "", "", "I"])
    casa.imstat(logfile="stat.txt", region=REGION, mask="'line.image'>-1", **line)
    casa.imstat(logfile="stat.txt", append=True, region="mask.crtf", **line)
    casa.imhead(mode="list", **line)
    casa.imhead("back.im", mode="put", hdkey="object", hdvalue="N5921")
    casa.imhistory("back.im", mode="append", message="seen")
    casa.imhistory("back.im", mode="list")
    casa.imval(box="30,30,33,33", **line)
    casa.immath(expr="'line.image'*2+'back.im'", outfile="math.im", imagename="")
    casa.immath(["line.image", "back.im"], expr="IM0-IM1", outfile="minus.im", mode="evalexpr", mask="back.im>-1")
    casa.immath(expr="'line.image'*2", imagename="")
    casa.immoments(moments=[0], outfile="m0.im", **line)
    casa.immoments(moments=[-1, 0, 1, 2, 8], outfile="several", **line)
    casa.immoments(moments=[0, 1], outfile="folder", mask="line.mask", stretch=True, **line)
    casa.imsubimage(outfile="sub.im", region=REGION, **line)
    casa.imregrid("sub.im", template="line.image", output="regridded.im")
    casa.imregrid("sub.im", template="get")
    casa.imregrid("back.im", template="get")
    casa.imsmooth("m0.im", major="120arcsec", minor="120arcsec", pa="0deg", outfile="smooth.im")
    casa.imsmooth("m0.im", kernel="image", kimage="sub.im", outfile="kernel.im")
    casa.imrebin(outfile="rebinned.im", factor=[2, 2], **line)
    casa.imcollapse(function="mean", axes=[3], outfile="mean.im", **line)
    casa.imtrans(outfile="trans.im", order="0132", **line)
    casa.imreframe("back.im", output="reframed.im", outframe="BARY")
    casa.imreframe("back.im", output="", outframe="BARY")
    casa.imdev(outfile="dev.im", grid=[8, 8], xlength="10pix", ylength="10pix", **line)
    casa.imcontsub(linefile="contline.im", contfile="cont.im", fitorder=0, chans="0,3", **line)
    casa.impv(outfile="pv.im", start=[10, 10], end=[50, 50], **line)
    casa.specsmooth(outfile="spec.im", axis=3, function="hanning", dmethod="", **line)
    casa.specflux(region=REGION, logfile="flux.log", **line)
    casa.specfit(region=REGION, ngauss=1, model="spec.model", residual="spec.residual", amp="spec.amp",
                 multifit=True, logfile="spec.log", **line)  # fmt: skip
    casa.spxfit(["main.image"], spxtype="plp", spxest=[1.0, 0.0], model="spx.model", multifit=False, logfile="spx.log")
    Path("estimates.txt").write_text("0.1, 32, 32, 100arcsec, 90arcsec, 0deg\n")
    casa.imfit("m0.im", box="20,20,44,44", residual="fit.residual", model="fit.model", estimates="estimates.txt",
               newestimates="new.txt", complist="image.cl", logfile="fit.log", summary="fit.txt")  # fmt: skip
    casa.plotprofilemap(figfile="profiles.png", numpanels="2", **line)
    casa.slsearch(outfile="lines.tbl", freqrange=[84, 85], logfile="lines.log", verbose=True)
    casa.rmtables(["spec.*", "mean.im"])


def simulate(casa: Audited) -> None:
    """The simulator, for the task that calls tasks, and single dishes."""
    casa.simobserve(
        project="sim", skymodel="m0.im", inbright="1Jy/pixel", incell="1arcsec", incenter="230GHz", inwidth="1GHz",
        indirection="J2000 19h00m00 -40d00m00", setpointings=True, integration="300s", mapsize=["60arcsec"],
        obsmode="int", antennalist="aca.all.cfg", totaltime="600s", thermalnoise="", graphics="none", overwrite=True,
    )  # fmt: skip
    casa.simanalyze(project="sim", image=True, vis="$project.aca.all.ms", imsize=[64, 64], cell="1arcsec", niter=3,
                    analyze=True, showuv=False, graphics="none", overwrite=True)  # fmt: skip
    casa.defintent(vis="sim/sim.aca.all.ms", outputvis="intended.ms", intent="CALIBRATE_FLUX#ON_SOURCE", mode="append")
    casa.defintent(vis="intended.ms", outputvis="intended.ms", intent="OBSERVE_TARGET#ON_SOURCE", mode="set", field="0")
    casa.simobserve(
        project="dish", skymodel="m0.im", inbright="1Jy/pixel", incell="1arcsec", incenter="230GHz", inwidth="1GHz",
        indirection="J2000 19h00m00 -40d00m00", setpointings=True, integration="10s", mapsize=["60arcsec"],
        obsmode="sd", sdantlist="aca.tp.cfg", sdant=0, totaltime="100s", thermalnoise="", graphics="none",
        overwrite=True,
    )  # fmt: skip
    casa.tsdimaging(
        infiles=["dish/dish.aca.tp.sd.ms"], outfile="tsd", imsize=[16, 16], cell="10arcsec", gridfunction="SF"
    )
    if hasattr(casa.tasks, "sdimaging"):  # gone from CASA 6.7.5
        casa.sdimaging(infiles=["dish/dish.aca.tp.sd.ms"], outfile="sd.im", imsize=[16, 16], cell="10arcsec")
    casa.sdtimeaverage(infile="dish/dish.aca.tp.sd.ms", outfile="averaged.ms", timebin="30s", datacolumn="data")
    casa.sdpolaverage(infile="dish/dish.aca.tp.sd.ms", outfile="polaveraged.ms", datacolumn="data", polaverage="stokes")
