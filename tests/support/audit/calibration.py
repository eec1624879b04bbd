"""What is audited of calibration."""

from __future__ import annotations

from pathlib import Path

from audit.recording import Audited

__all__ = ["calibrate", "calibrate_others"]


def calibrate(casa: Audited) -> None:
    """NGC 5921, with all that a calibration table can go through."""
    solve = {"vis": "n.ms", "refant": "0", "solint": "inf"}
    casa.setjy(vis="n.ms", field="0", standard="Perley-Taylor 99", listmodels=True)
    casa.setjy(vis="n.ms", field="0", standard="Perley-Taylor 99", usescratch=False)
    casa.setjy(vis="n.ms", field="0", model="3C286_L.im", usescratch=True)
    casa.bandpass(caltable="n.bcal", field="0", combine="scan", **solve)
    casa.gaincal(caltable="n.gcal", field="0", spw="0:6~56", gaintable=["n.bcal"], **solve)
    casa.gaincal(caltable="n.gcal", field="1", spw="0:6~56", gaintable=["n.bcal"], append=True, **solve)
    casa.fluxscale("n.ms", "n.gcal", "n.flux", "0", listfile="flux.txt")
    casa.accor(vis="n.ms", caltable="n.accor", solint="inf")
    casa.blcal(vis="n.ms", caltable="n.blcal", field="0", gaintable=["n.bcal"], solint="inf")
    casa.rerefant(vis="n.ms", tablein="n.gcal", caltable="n.rerefant", refant="4")
    casa.smoothcal(vis="n.ms", tablein="n.gcal", caltable="n.smooth", smoothtime=3600.0)
    casa.gencal(vis="n.ms", caltable="n.amp", caltype="amp", parameter=[1.1])
    casa.gencal(vis="n.ms", caltable="n.amp", caltype="amp", parameter=[1.2])
    casa.gencal(vis="n.ms", caltable="n.antpos", caltype="antpos", antenna="1", parameter=[0.01, 0, 0])
    casa.gencal(vis="n.ms", caltable="n.gc", caltype="gceff")
    casa.smoothcal(vis="n.ms", tablein="n.smooth", smoothtime=7200.0)
    casa.flagdata(vis="n.gcal", mode="manual", antenna="3", flagbackup=True)
    casa.listcal(vis="n.ms", caltable="n.gcal", listfile="gcal.txt")
    casa.calstat(caltable="n.gcal", axis="amp", datacolumn="CPARAM")
    casa.calstat(caltable="sma.ms.bcal", axis="amp", datacolumn="CPARAM")
    casa.plotbandpass(
        caltable="n.bcal", figfile="bandpass.png", interactive=False, vis="n.ms", xaxis="chan", yaxis="amp"
    )
    Path("library.txt").write_text(
        "caltable='n.bcal' calwt=False tinterp='nearest'\ncaltable='n.flux' calwt=False tinterp='nearest'\n"
    )
    casa.applycal(vis="n.ms", gaintable=["n.flux", "n.bcal"], applymode="trial", field="0")
    casa.applycal(vis="n.ms", docallib=True, callib="library.txt", flagbackup=True)
    casa.applycal(vis="n.ms", gaintable=["n.flux", "n.bcal"], flagbackup=False)
    casa.mstransform(
        vis="n.ms", outputvis="corrected.ms", field="0", docallib=True, callib="library.txt", datacolumn="corrected"
    )
    casa.uvsub(vis="n.ms")
    casa.uvsub(vis="n.ms", reverse=True)
    casa.uvmodelfit(vis="n.ms", field="0", niter=1, comptype="P", sourcepar=[1, 0, 0], outfile="fit.cl")
    casa.ft(vis="n.ms", field="0", complist="fit.cl", usescratch=True)
    casa.delmod(vis="n.ms", otf=True, scr=True)
    casa.clearcal(vis="corrected.ms", addmodel=True)


def calibrate_others(casa: Audited) -> None:
    """Instruments of other kinds."""
    casa.fringefit(vis="vlba.ms", caltable="vlba.fringe", solint="inf", refant="4", scan="1,2", minsnr=3)
    casa.gaincal(vis="vlba.ms", caltable="vlba.p", solint="inf", refant="4", calmode="p")
    casa.applycal(vis="vlba.ms", gaintable="vlba.p")
    casa.setjy(vis="atca.ms", standard="Stevens-Reynolds 2016")
    casa.bandpass(vis="atca.ms", caltable="atca.bcal", solint="inf,64chan", refant="0")
    casa.setjy(vis="evla.ms", standard="manual", fluxdensity=[1.29, 0, 0, 0])
    casa.gaincal(vis="evla.ms", caltable="evla.gcal", solint="inf", refant="0")
    casa.polcal(vis="evla.ms", caltable="evla.dcal", poltype="D", solint="inf", refant="0", gaintable=["evla.gcal"])
    casa.polfromgain(vis="evla.ms", tablein="evla.gcal", caltable="evla.polgain")
    casa.gencal(vis="evla.ms", caltable="evla.opac", caltype="opac", spw="0", parameter=[0.05])
