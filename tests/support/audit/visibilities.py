"""What is audited of importing, looking at, editing and flagging visibilities."""

from __future__ import annotations

import tarfile
from pathlib import Path

from audit.recording import Audited

__all__ = ["edit", "flag", "import_", "import_ngc5921", "look"]


def import_(casa: Audited, observations: Path, casadata: Path) -> None:
    """Make n.ms, which is NGC 5921 with ten antennas; the rest is small as it comes."""
    for archive in sorted(observations.glob("*/*.tar.gz")):
        if archive.name.startswith(("X57", "day2", "atca", "sma.ms.dcal", "sma.ms.bcal")):
            with tarfile.open(archive) as packed:
                packed.extractall(casa.folder, filter="data")
    Path("X5707_1spw_1scan_10chan_1time_1bl_noatm.ms").rename("alma.ms")
    Path("day2_TDEM0003_10s_norx_1src_1spw.ms").rename("evla.ms")
    import_ngc5921(casa, casadata)
    casa.importuvfits(str(observations / "vlba_m87_2006" / "mojave.uvfits"), "vlba.ms")
    casa.importmiriad(mirfile="atca_miriad", vis="atca.ms")
    casa.exportuvfits(vis="n.ms", fitsfile="n.uvfits", datacolumn="data")
    casa.exportasdm(vis="n.ms", asdm="n.asdm")
    casa.importasdm(asdm="n.asdm", vis="back.ms", savecmds=True, flagbackup=True)
    casa.asdmsummary("n.asdm")


def import_ngc5921(casa: Audited, casadata: Path) -> None:
    """Make n.ms, which is NGC 5921 with ten antennas."""
    casa.importuvfits(fitsfile=str(casadata / "demo" / "NGC5921.fits"), vis="full.ms")
    casa.split(vis="full.ms", outputvis="n.ms", antenna="0~9&&", datacolumn="data")
    casa.rmtables("full.*")


def look(casa: Audited) -> None:
    """Tasks that only read, and what they list and plot."""
    casa.listobs(vis="n.ms", listfile="n.txt", overwrite=True)
    casa.listobs("n.ms/")
    casa.listpartition(vis="n.ms", listfile="part.txt")
    casa.listhistory(vis="n.ms")
    casa.listfits("n.uvfits")
    casa.visstat(vis="n.ms", datacolumn="data", field="0")
    casa.vishead(vis="n.ms", mode="list")
    casa.vishead(vis="n.ms", mode="put", hdkey="observer", hdindex="0", hdvalue="me")
    casa.plotants(vis="n.ms", figfile="ants.png", showgui=False)
    casa.apparentsens(vis="evla.ms", imsize=64, cell="30arcsec", specmode="mfs", weighting="natural")
    casa.listvis(vis="alma.ms", listfile="vis.txt")
    casa.clearstat()


def flag(casa: Audited) -> None:
    """Flag commands in all their forms, and their versions."""
    Path("shadowing.txt").write_text("name=A01\ndiameter=25.0\nposition=[-1601155.2, -5042004.7, 3554860.0]\n")
    Path("commands.txt").write_text(
        "mode='manual' antenna='3' timerange='<09:20:00'\nmode='shadow' addantenna='shadowing.txt'\n"
    )
    Path("more.txt").write_text("mode='manual' antenna='5' timerange='<09:20:00'\n")
    casa.flagdata(vis="n.ms", mode="summary")
    casa.flagdata(vis="n.ms", mode="manual", autocorr=True)
    casa.flagdata(vis="n.ms", mode="list", inpfile="commands.txt", flagbackup=False)
    casa.flagdata(vis="n.ms", mode="list", inpfile=["commands.txt"], action="calculate")
    casa.flagdata(vis="n.ms", mode="rflag", action="calculate", field="0", timedev="time.txt", freqdev="freq.txt")
    casa.flagdata(vis="n.ms", mode="rflag", field="0", timedev="time.txt", freqdev="freq.txt", flagbackup=True)
    casa.flagdata(vis="n.ms", mode="tfcrop", action="", savepars=True, outfile="saved.txt")
    casa.flagdata(vis="n.ms", mode="manual", antenna="2", action="", savepars=True)
    casa.flagmanager(vis="n.ms", mode="save", versionname="mine")
    casa.flagmanager(vis="n.ms", mode="list")
    casa.flagcmd(vis="n.ms", inpmode="list", inpfile="more.txt", action="apply", flagbackup=False)
    casa.flagcmd(vis="n.ms", inpmode="table", action="list")
    casa.flagcmd(vis="n.ms", inpmode="table", action="list", savepars=True, outfile="cmd.txt")
    casa.flagcmd(vis="n.ms", inpmode="table", action="plot", plotfile="flags.png")
    casa.flagmanager(vis="n.ms", mode="restore", versionname="mine")
    casa.flagmanager(vis="n.ms", mode="rename", oldname="mine", versionname="yours")
    casa.flagmanager(vis="n.ms", mode="delete", versionname="yours")


def edit(casa: Audited) -> None:
    """Tasks that make one MS of others, or change one in place."""
    casa.split(vis="n.ms", outputvis="a.ms", field="2", spw="0:4~43", datacolumn="data", timerange="<09:50:00")
    casa.split(vis="n.ms", outputvis="b.ms", field="2", spw="0:4~43", datacolumn="data", timerange=">09:50:00")
    casa.concat(vis=["a.ms", "b.ms"], concatvis="ab.ms")
    casa.concat(vis=["ab.ms", "a.ms"], concatvis="ab.ms")
    casa.testconcat(vis=["a.ms", "b.ms"], testconcatvis="test.ms")
    casa.virtualconcat(vis=["a.ms", "b.ms"], concatvis="virtual.mms", keepcopy=True)
    casa.hanningsmooth(vis="a.ms", outputvis="hanning.ms", datacolumn="data")
    casa.mstransform(vis="a.ms", outputvis="transformed.ms", datacolumn="data", chanaverage=True, chanbin=4)
    casa.cvel2(vis="a.ms", outputvis="cvel2.ms", outframe="LSRK", nchan=8)
    casa.cvel(vis="transformed.ms", outputvis="cvel.ms", outframe="LSRK", nchan=4)
    casa.partition(vis="ab.ms", outputvis="parts.mms", numsubms=2, separationaxis="scan")
    casa.phaseshift(vis="a.ms", outputvis="shifted.ms", phasecenter="J2000 15h22m00s +05d04m00s", datacolumn="data")
    casa.conjugatevis(vis="hanning.ms", outputvis="conjugated.ms")
    casa.conjugatevis(vis="hanning.ms")
    casa.uvcontsub(vis="a.ms", outputvis="line.ms", fitspec="0:4~8;30~36", datacolumn="data")
    casa.uvcontsub_old(vis="hanning.ms", fitspw="0:4~8", want_cont=True)
    casa.initweights(vis="hanning.ms", wtmode="nyq")
    casa.statwt(vis="hanning.ms", datacolumn="data", preview=True)
    casa.statwt(vis="hanning.ms", datacolumn="data", flagbackup=True)
    casa.fixvis(vis="cvel2.ms", outputvis="fixed.ms", phasecenter="J2000 15h22m00s +05d04m10s", datacolumn="DATA")
    casa.fixvis(vis="cvel2.ms", outputvis="", reuse=True)
    casa.fixplanets(vis="cvel2.ms", field="0", direction="J2000 15h22m00s +05d04m10s")
    binning = {"field": "0", "imsize": [32, 32], "cell": "60arcsec", "ncorr": 2, "nchan": 1, "width": "1MHz",
               "start": "1.4127GHz", "phasecenter": "J2000 15h22m00s +05d04m00s"}  # fmt: skip
    casa.msuvbin(vis="a.ms", outputvis="binned.ms", mode="bin", **binning)
    casa.msuvbin(vis="b.ms", outputvis="binned.ms", mode="bin", **binning)
