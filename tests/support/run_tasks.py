"""Run CASA tasks in the working directory; write what each did and what its TaskSpec said.

A process of its own: CASA and what reads tables elsewhere do not share one.
Called with the UVFITS file of NGC 5921 and the JSON file to write.
"""

from __future__ import annotations

import inspect
import json
import os
import sys
from pathlib import Path
from typing import Any

import casatasks

from casaprov.tasks.specs import load_specs

REGION = "circle[[32pix,32pix],10pix]"
IMAGE: dict[str, Any] = {
    "imagename": "line",
    "imsize": 64,
    "cell": "30arcsec",
    "specmode": "cube",
    "nchan": 4,
    "start": 20,
}


def plan(fits: str) -> list[tuple[str, dict[str, Any]]]:
    """The calls, in the order of a reduction."""
    return [
        ("importuvfits", {"fitsfile": fits, "vis": "n.ms"}),
        ("listobs", {"vis": "n.ms", "listfile": "n.txt"}),
        ("plotants", {"vis": "n.ms", "figfile": "ants", "showgui": False}),
        ("flagdata", {"vis": "n.ms", "mode": "summary"}),
        ("flagdata", {"vis": "n.ms", "mode": "manual", "autocorr": True}),
        ("flagdata", {"vis": "n.ms", "antenna": "3", "action": "", "savepars": True, "outfile": "flags.txt"}),
        ("flagdata", {"vis": "n.ms/", "mode": "list", "inpfile": "flags.txt", "flagbackup": False}),
        ("flagmanager", {"vis": "n.ms", "mode": "save", "versionname": "mine"}),
        ("flagmanager", {"vis": "n.ms", "mode": "list"}),
        ("setjy", {"vis": "n.ms", "field": "0", "standard": "Perley-Taylor 99", "usescratch": False}),
        ("bandpass", {"vis": "n.ms", "caltable": "n.bcal", "field": "0", "combine": "scan", "refant": "15"}),
        ("gaincal", {"vis": "n.ms", "caltable": "n.gcal", "field": "0", "gaintable": ["n.bcal"], "refant": "15"}),
        ("gaincal", {"vis": "n.ms", "caltable": "n.gcal", "field": "1", "append": True, "refant": "15"}),
        ("gencal", {"vis": "n.ms", "caltable": "n.amp", "caltype": "amp", "parameter": [1.1]}),
        ("gencal", {"vis": "n.ms", "caltable": "n.amp", "caltype": "amp", "parameter": [1.2]}),
        ("flagdata", {"vis": "n.gcal", "mode": "manual", "antenna": "3"}),
        ("listcal", {"vis": "n.ms", "caltable": "n.gcal", "listfile": "gcal.txt"}),
        ("fluxscale", {"vis": "n.ms", "caltable": "n.gcal", "fluxtable": "n.flux", "reference": "0", "listfile": "f.txt"}),
        ("smoothcal", {"vis": "n.ms", "tablein": "n.amp", "caltable": ""}),
        ("applycal", {"vis": "n.ms", "gaintable": ["n.flux", "n.bcal"], "applymode": "trial"}),
        ("applycal", {"vis": "n.ms", "gaintable": ["n.flux", "n.bcal"]}),
        ("flagmanager", {"vis": "n.ms", "mode": "restore", "versionname": "mine"}),
        ("flagmanager", {"vis": "n.ms", "mode": "delete", "versionname": "mine"}),
        ("split", {"vis": "n.ms", "outputvis": "src.ms", "field": "2", "spw": "0:0~62"}),
        ("uvcontsub", {"vis": "src.ms", "outputvis": "line.ms", "fitspec": "0:4~6;50~59"}),
        ("statwt", {"vis": "line.ms", "datacolumn": "data", "preview": True}),
        ("statwt", {"vis": "line.ms", "datacolumn": "data"}),
        ("tclean", {"vis": "line.ms", "niter": 5, **IMAGE}),
        ("tclean", {"vis": "line.ms", "niter": 10, "savemodel": "modelcolumn", "calcpsf": False, **IMAGE}),
        ("tclean", {"vis": "line.ms", "niter": 5, "imagename": "mt", "imsize": 64, "cell": "30arcsec", "deconvolver": "mtmfs", "pbcor": True}),
        ("tclean", {"vis": "line.ms", "niter": 1, "restart": False, **IMAGE, "imagename": "mt", "specmode": "mfs"}),
        ("uvsub", {"vis": "line.ms"}),
        ("ft", {"vis": "line.ms", "model": "line.model", "usescratch": True}),
        ("immoments", {"imagename": "line.image", "moments": [0, 1], "outfile": "mom"}),
        ("immoments", {"imagename": "line.image", "moments": [0], "outfile": "m0.im"}),
        ("immath", {"expr": "'line.image'*2", "outfile": "twice.im", "imagename": ""}),
        ("imstat", {"imagename": "line.image", "logfile": "stat.txt", "region": REGION}),
        ("imhead", {"imagename": "twice.im", "mode": "list"}),
        ("imhead", {"imagename": "twice.im", "mode": "put", "hdkey": "object", "hdvalue": "N5921"}),
        ("imsubimage", {"imagename": "line.image", "outfile": "sub.im", "region": REGION, "mask": "'line.image'>0"}),
        ("impbcor", {"imagename": "line.image", "pbimage": "line.pb", "outfile": "line.pbcor"}),
        ("imsmooth", {"imagename": "m0.im", "major": "90arcsec", "minor": "90arcsec", "pa": "0deg"}),
        ("exportfits", {"imagename": "line.image", "fitsimage": "line.fits"}),
        ("importfits", {"fitsimage": "line.fits", "imagename": "back.im"}),
        ("exportuvfits", {"vis": "line.ms", "fitsfile": "line.uvfits", "datacolumn": "data"}),
        ("conjugatevis", {"vis": "line.ms"}),
        ("partition", {"vis": "line.ms", "outputvis": "line.mms"}),
        ("delmod", {"vis": "n.ms", "otf": True}),
        ("uvmodelfit", {"vis": "n.ms", "field": "0", "niter": 1, "outfile": "fit.cl"}),
        ("clearcal", {"vis": "n.ms"}),
        ("rmtables", {"tablenames": ["m*", "n.amp"]}),
    ]  # fmt: skip


def snapshot() -> dict[str, tuple[int, int]]:
    """Size and time of every file, but those that change without a change: locks, histories, logs."""
    stamps = {}
    for folder, _, files in os.walk("."):
        if not {"HISTORY", "logtable"} & set(Path(folder).parts):
            for path in (Path(folder, file) for file in files):
                if path.name != "table.lock" and path.suffix != ".log":
                    stamps[str(path)] = (path.stat().st_size, path.stat().st_mtime_ns)
    return stamps


def main() -> None:
    """Run the plan."""
    told, cwd = [], Path.cwd()
    for task, given in plan(sys.argv[1]):
        call = getattr(casatasks, task)
        bound = inspect.signature(call).bind(**given)
        bound.apply_defaults()
        parameters, spec, before = dict(bound.arguments), load_specs()[task], snapshot()
        inputs = {
            str(use.path.relative_to(cwd)): use.role
            for use in spec.inputs(parameters, cwd)
            if use.path.is_relative_to(cwd)
        }
        call(**given)
        after = snapshot()
        did = {Path(name).parts[0] for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
        outputs = sorted(str(use.path.relative_to(cwd)) for use in spec.outputs(parameters, cwd))
        told.append({"task": task, "given": given, "did": sorted(did), "inputs": inputs, "outputs": outputs})
    Path(sys.argv[2]).write_text(json.dumps(told))


main()
