"""(l) What runs again after a change: with casaprov's cache, with joblib.Memory and with DVC.

    python benchmarks/recomputing.py [--repeats 3]

A small reduction of NGC 5921 runs, something changes, and it runs again: without a cache, with casaprov's, with each task
wrapped by ``joblib.Memory``, and by ``dvc repro`` with one stage per task (``dvc_stages.py``). The last two come from PyPI, into
the cache of the benchmarks; one that cannot be installed becomes a line that says so. For six kinds of change: the time of the
second run over that without a cache, and how many of its products are not those of a run without a cache. Products are
compared by their data columns and pixels. A stage of DVC that runs is a process that starts CASA: this is part of its time.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from textwrap import indent

import measuring
from dvc_stages import Pipeline
from environments import program
from measuring import Finding, Goal, compared, guarded, in_turns, number
from notebook_runs import LOAD, ngc5921_fits, run_cells

_PREPARE = """
import hashlib, json, os, shutil
import casatasks
from casatools import image, table
tasks = "flagdata setjy gaincal applycal split tclean imsmooth imstat".split()
globals().update((name, getattr(casatasks, name)) for name in tasks)
def fresh():
    for name in os.listdir():
        if name not in ("raw.ms", "joblib") and not name.startswith(".") and os.path.isdir(name):
            shutil.rmtree(name)
    shutil.copytree("raw.ms", "w.ms")
def sums():
    found, tb, ia = {}, table(), image()
    for name in sorted(os.listdir()):
        if name.endswith(".ms"):
            tb.open(name)
            for column in sorted({"DATA", "CORRECTED_DATA", "MODEL_DATA", "FLAG"} & set(tb.colnames())):
                found[f"{name} {column}"] = hashlib.sha256(tb.getcol(column).tobytes()).hexdigest()
            tb.close()
        elif name.endswith((".image", ".im")):
            ia.open(name)
            found[name] = hashlib.sha256(ia.getchunk().tobytes()).hexdigest()
            ia.close()
        elif name.endswith(".G"):
            tb.open(name)
            found[name] = hashlib.sha256(tb.getcol("CPARAM").tobytes()).hexdigest()
            tb.close()
    return found
"""

_RAW = """
casatasks.importuvfits({fits!r}, "n.ms")
casatasks.split("n.ms", "raw.ms", datacolumn="data", field="0", spw="0:20~35")
shutil.rmtree("n.ms")
"""

_WRAP = """
import sys
sys.path.append({place!r})
from joblib import Memory
memory = Memory("joblib", verbose=0)
def wrapped(name):
    scope = {{"casatasks": casatasks}}
    exec(f"def {{name}}(**parameters): return casatasks.{{name}}(**parameters)", scope)
    return memory.cache(scope[name])
globals().update((name, wrapped(name)) for name in tasks)
"""

_REDUCE = """
flagdata(vis="w.ms", antenna="{antenna}", flagbackup=False)
setjy(vis="w.ms", standard="manual", fluxdensity=[5, 0, 0, 0], usescratch=True)
gaincal(vis="w.ms", caltable="g.G", solint="inf", refant="3", minsnr=0.0)
applycal(vis="w.ms", gaintable=["g.G"], flagbackup=False)
split(vis="w.ms", outputvis="s.ms", datacolumn="corrected")
tclean(vis="s.ms", imagename="i", imsize=512, cell="5arcsec", niter={niter}, interactive=False)
imsmooth(imagename="i.image", outfile="sm.im", major="60arcsec", minor="60arcsec", pa="0deg")
peak = imstat(imagename="sm.im")["max"]
"""


@dataclass(frozen=True)
class Change:
    """A change between two runs: code that runs before the second one, and its reduction."""

    code: str = "fresh()"
    antenna: str = "1"
    niter: int = 300
    comment: str = ""


CHANGES = {
    "nothing": Change(),
    "a comment": Change(comment="# calibrate and image\n\n"),
    "products deleted, nothing else": Change(code="fresh(); shutil.rmtree('g.G', ignore_errors=True)"),
    "a parameter of tclean": Change(niter=200),
    "a parameter of flagdata, the same flags": Change(antenna="1,1"),
    "the data": Change(
        code="tb = table(); tb.open('raw.ms', nomodify=False); d = tb.getcol('DATA'); d *= 1.5; tb.putcol('DATA', d); "
        "tb.close(); fresh()"
    ),
}
"""Six kinds of change."""


@dataclass(frozen=True)
class Second:
    """The run after the change: its duration, and the sums of its products."""

    seconds: float
    sums: dict[str, str]


def run(side: str, change: Change, place: Path) -> Second:
    """Run a reduction, change something, and run it again."""
    load = {
        "no cache": "pass",
        "casaprov": f"{LOAD}\n%casaprov config cache on",
        "joblib": _WRAP.format(place=str(place)),
    }
    first = Change()
    second = _REDUCE.format(antenna=change.antenna, niter=change.niter)
    with tempfile.TemporaryDirectory(prefix="casaprov-bench-") as name:
        told = Path(name, "sums.json")
        cells = [
            _PREPARE + _RAW.format(fits=str(ngc5921_fits())),
            load[side] if side != "casaprov" else LOAD,
            "%casaprov config cache on" if side == "casaprov" else "pass",
            "globals().update((name, getattr(casatasks, name)) for name in tasks)" if side == "casaprov" else "pass",
            "fresh()\n" + _REDUCE.format(antenna=first.antenna, niter=first.niter),
            change.code,
            # A task may find that what an earlier one "left" is not there: its products count as wrong.
            f"{change.comment}try:\n{indent(second, '    ')}except Exception as error:\n    print(error)",
            f"open({str(told)!r}, 'w').write(json.dumps(sums()))",
        ]
        return Second(run_cells(cells).seconds[6], json.loads(told.read_text()))


def run_dvc(dvc: Path, change: Change) -> Second:
    """Run the reduction as a pipeline of DVC, change something, and run it again."""
    with tempfile.TemporaryDirectory(prefix="casaprov-bench-") as name:
        pipeline = Pipeline(dvc, Path(name), _PREPARE)
        pipeline.do(f"{_RAW.format(fits=str(ngc5921_fits()))}\nfresh()")
        pipeline.write(antenna=Change.antenna, niter=Change.niter, comment="")
        pipeline.repro()
        pipeline.do(change.code)
        pipeline.write(antenna=change.antenna, niter=change.niter, comment=change.comment)
        return Second(pipeline.repro(), pipeline.sums())


def joblib_place(cache: Path) -> Path:
    """Install joblib from PyPI, unless it is there."""
    place = cache / "joblib"
    if not (place / "joblib").is_dir():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(place), "joblib"]
        subprocess.run(pip, check=True, capture_output=True)
    return place


def measure(cache: Path, what: str, repeats: int, tools: Sequence[str]) -> list[Finding]:
    """Measure tools after one kind of change, in turns with a run without any.

    Raises
    ------
    RuntimeError
        If a tool cannot be installed, or does not run.
    """
    change = CHANGES[what]
    sides = {side: partial(run, side, change, cache) for side in ("no cache", *tools)}
    if "joblib" in sides:
        sides["joblib"] = partial(run, "joblib", change, joblib_place(cache))
    if "dvc" in sides:
        sides["dvc"] = partial(run_dvc, program(cache, "dvc", "dvc"), change)
    found = in_turns(sides, repeats)
    plain = found.pop("no cache")
    findings = []
    for side, seconds in found.items():
        ratio = compared(
            "l", f"{side} / no cache: {what} changed", [run.seconds for run in seconds], [run.seconds for run in plain]
        )
        wrong = [
            float(sum(one.sums.get(name) != digest for name, digest in other.sums.items()))
            for one, other in zip(seconds, plain, strict=True)
        ]
        goal = Goal(0, "0") if side == "casaprov" else None
        findings += [
            ratio,
            Finding(letter="l", what=f"{side}: wrong products, {what} changed", number=number(wrong), goal=goal),
        ]
    return findings


def main() -> None:
    """Measure, and tell."""
    options = measuring.options(measuring.parser(__doc__))
    found: list[Finding] = []
    for what in CHANGES:
        for tools in (("casaprov", "joblib"), ("dvc",)):  # one that cannot be installed does not take the others along
            begin = partial(measure, options.cache, what, options.repeats, tools)
            found += guarded("l", f"{', '.join(tools)}: {what} changed", begin)
    measuring.tell(found, options.output)


if __name__ == "__main__":
    main()
