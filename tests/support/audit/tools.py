"""Run sessions of CASA's tools in the working directory, each in a folder of its own: ``python -m audit.tools OUT``.

``OUT`` gets what the hook of the tools recorded of each session, and which files had other bytes after it.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from audit.recording import _mark
from casaprov.casa.hooks.tools import ToolHook
from casaprov.casa.installed.data import prepare
from casaprov.tasks.calls import FileTable, TaskCall, TaskResult

__all__ = ["SESSIONS"]

STOCK = ("m.ms", "mod.im", "pre.cl", "g.cal")
Session = Callable[[Any], object]
SESSIONS: dict[str, Session] = {}


def session(function: Session) -> Session:
    """Add a session under its name."""
    SESSIONS[function.__name__] = function
    return function


# -- sessions ----------------------------------------------------------------------


def simulate(ct: Any, name: str) -> None:
    me, qa, sm = ct.measures(), ct.quanta(), ct.simulator()
    sm.open(name)
    sm.setconfig(
        telescopename="VLA", x=[0.0, 90.0, 10.0, -50.0], y=[0.0, 20.0, -70.0, 30.0], z=[0.0] * 4, dishdiameter=[25.0] * 4,
        mount=["alt-az"] * 4, antname=["A", "B", "C", "D"], coordsystem="local", referencelocation=me.observatory("VLA"),
    )  # fmt: skip
    sm.setspwindow("L", "1.4GHz", "1MHz", "1MHz", "TOPO", 4, "RR LL")
    sm.setfeed("perfect R L")
    sm.setfield("f", me.direction("J2000", "1h0m0", "40d0m0"))
    sm.settimes(qa.quantity("10s"), True, me.epoch("UTC", "2020/01/01/00:00:00"))
    sm.observe("f", "L", "-60s", "60s")
    sm.close()


@session
def simulator_makes_an_ms(ct: Any) -> None:
    simulate(ct, "new.ms")


@session
def simulator_predicts_a_list(ct: Any) -> None:
    sm = ct.simulator()
    sm.openfromms("m.ms")
    sm.predict(complist="pre.cl")
    sm.close()


@session
def simulator_predicts_an_image(ct: Any) -> None:
    sm = ct.simulator()
    sm.openfromms("m.ms")
    sm.predict(imagename="mod.im")
    sm.close()


@session
def simulator_corrupts(ct: Any) -> None:
    sm = ct.simulator()
    sm.openfromms("m.ms")
    sm.setnoise(mode="simplenoise", simplenoise="0.1Jy")
    sm.corrupt()
    sm.close()


@session
def table_selection_is_copied(ct: Any) -> None:
    tb = ct.table()
    tb.open("m.ms")
    part = tb.query("ANTENNA1==0")
    whole = part.copy("m3.ms", deep=True)
    whole.close()
    part.close()
    tb.close()


@session
def table_rows_are_selected(ct: Any) -> None:
    tb = ct.table()
    tb.open("m.ms")
    part = tb.selectrows([0, 1], "rows.tab")
    part.close()
    tb.close()


@session
def table_is_queried(ct: Any) -> None:
    tb = ct.table()
    tb.open("m.ms/ANTENNA")
    part = tb.taql("select from 'm.ms' where ANTENNA1 == 0")
    whole = part.copy("taql.ms", deep=True)
    whole.close()
    part.close()
    tb.close()


@session
def table_is_changed(ct: Any) -> None:
    tb = ct.table()
    tb.open("m.ms", nomodify=False)
    tb.putcol("DATA", 2 * tb.getcol("DATA"))
    with suppress(RuntimeError):
        tb.removerows([10**6])
    tb.close()


@session
def table_part_is_changed(ct: Any) -> None:
    tb = ct.table()
    tb.open("m.ms", nomodify=False)
    part = tb.query("ANTENNA1==0")
    part.putcol("SCAN_NUMBER", part.getcol("SCAN_NUMBER") + 1)
    part.close()
    tb.close()


@session
def table_is_listed(ct: Any) -> None:
    tb = ct.table()
    tb.open("m.ms/ANTENNA")
    tb.toasciifmt("ant.txt")
    tb.close()


@session
def image_is_made(ct: Any) -> None:
    ia = ct.image()
    ia.fromshape("made.im", [8, 8])
    ia.putchunk(ia.getchunk() + 3)
    ia.close()


@session
def image_is_computed(ct: Any) -> None:
    ia = ct.image()
    ia.imagecalc("sum.im", '"mod.im" + 1')
    ia.close()


@session
def image_parts(ct: Any) -> None:
    ia = ct.image()
    ia.open("mod.im")
    part = ia.subimage("part.im")
    part.done()
    ia.tofits("mod.fits")
    ia.close()


@session
def image_takes_another(ct: Any) -> None:
    ia = ct.image()
    ia.open("mod.im")
    ia.calc('"mod.im" * 2')
    ia.close()


@session
def image_is_fitted(ct: Any) -> None:
    ia = ct.image()
    ia.open("mod.im")
    ia.collapse("mean", 3, outfile="flat.im").done()
    ia.close()


@session
def calibrater_solves(ct: Any) -> None:
    cb = ct.calibrater()
    cb.setvi(old=True)  # the newer one ends the process: these data have no weights by channel
    cb.open("m.ms")
    cb.setsolve(type="G", t="inf", table="new.cal", refant="0")
    cb.solve()
    cb.close()


@session
def calibrater_corrects(ct: Any) -> None:
    cb = ct.calibrater()
    cb.open("m.ms")
    cb.setapply(table="g.cal")
    cb.correct()
    cb.close()


@session
def component_list_is_made(ct: Any) -> None:
    cl = ct.componentlist()
    cl.addcomponent(dir="J2000 1h0m0 40d0m0", flux=1.0, fluxunit="Jy", freq="1.4GHz", shape="point")
    cl.rename("new.cl")
    cl.close()


@session
def component_list_is_changed(ct: Any) -> None:
    cl = ct.componentlist()
    cl.open("pre.cl", nomodify=False)
    cl.setflux(0, [2.0, 0.0, 0.0, 0.0], "Jy", "Stokes")
    cl.close()


@session
def ms_is_split(ct: Any) -> None:
    ms = ct.ms()
    ms.open("m.ms")
    ms.split(outputms="s.ms", whichcol="DATA")
    ms.close()


@session
def ms_is_changed(ct: Any) -> None:
    ms = ct.ms()
    ms.open("m.ms", nomodify=False)
    ms.selectinit(datadescid=0)
    data = ms.getdata(["data"])
    data["data"] = data["data"] * 2
    ms.putdata(data)
    ms.close()


@session
def imager_makes_an_image(ct: Any) -> None:
    im = ct.imager()
    im.selectvis(vis="m.ms")
    im.defineimage(nx=32, ny=32, cellx="20arcsec", celly="20arcsec", mode="mfs", spw=[0])
    im.makeimage(type="observed", image="dirty.im")
    im.close()


@session
def imager_transforms_a_list(ct: Any) -> None:
    im = ct.imager()
    im.open("m.ms", usescratch=True)
    im.defineimage(nx=32, ny=32, cellx="20arcsec", celly="20arcsec", mode="mfs", spw=[0])
    im.ft(complist="pre.cl")
    im.close()


@session
def coordinates_touch_no_file(ct: Any) -> None:
    cs = ct.coordsys().newcoordsys(direction=True)
    cs.toworld([0.0, 0.0])
    cs.done()


# -- running -----------------------------------------------------------------------


@dataclass(frozen=True)
class _Activity:
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Open:
    call: TaskCall
    files: FileTable
    uses: tuple[tuple[str, str], ...]
    activity: _Activity

    def with_parameters(self, parameters: dict[str, Any]) -> _Open:
        return replace(self, activity=_Activity(parameters))


class _Recording:
    """Keeps what the hook records: names relative to the working directory."""

    busy = False

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []

    def begin(self, call: TaskCall, files: FileTable | None, *, by_tool: bool = False) -> _Open:
        assert files is not None
        assert by_tool
        uses = tuple((use.role, os.path.relpath(use.path)) for use in files.inputs({}, call.cwd))
        return _Open(call, files, uses, _Activity(dict(call.parameters)))

    def end(self, open_call: _Open, result: TaskResult) -> None:
        made = [os.path.relpath(use.path) for use in open_call.files.outputs({}, open_call.call.cwd)]
        self.records.append(
            {
                "task": open_call.call.task,
                "used": sorted(path for role, path in open_call.uses if role == "used"),
                "changed": sorted(path for role, path in open_call.uses if role == "changed"),
                "made": sorted(made),
                "calls": open_call.activity.parameters["calls"],
                "error": str(result.error) if result.error is not None else "",
            }
        )


def _bytes(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "table.lock")
    return {path.relative_to(folder).as_posix(): sha256(path.read_bytes()).hexdigest() for path in files}


def _run(ct: Any, hook: ToolHook, recording: _Recording) -> Iterator[dict[str, Any]]:
    top = Path.cwd()
    for number, (name, body) in enumerate(SESSIONS.items(), start=1):
        folder = top / name
        folder.mkdir()
        for stock in STOCK:
            shutil.copytree(top / "stock" / stock, folder / stock)
        before = _bytes(folder)
        recording.records = []
        os.chdir(folder)
        _mark([number])
        body(ct)
        hook.settle()
        _mark([])
        os.chdir(top)
        after = _bytes(folder)
        altered = {path.partition("/")[0] for path in after if before.get(path) != after[path]}
        yield {"name": name, "records": recording.records, "altered": sorted(altered)}


def _stock(ct: Any) -> None:
    Path("stock").mkdir()
    os.chdir("stock")
    simulate(ct, "m.ms")
    cl, ia, cb = ct.componentlist(), ct.image(), ct.calibrater()
    cl.addcomponent(dir="J2000 1h0m0 40d0m0", flux=1.0, fluxunit="Jy", freq="1.4GHz", shape="point")
    cl.rename("pre.cl")
    cl.close()
    sm = ct.simulator()
    sm.openfromms("m.ms")
    sm.predict(complist="pre.cl")
    sm.close()
    tb = ct.table()
    tb.open("m.ms", nomodify=False)
    tb.putcol("FLAG", tb.getcol("FLAG") & False)
    tb.putcol("FLAG_ROW", tb.getcol("FLAG_ROW") & False)
    tb.close()
    im = ct.imager()
    im.selectvis(vis="m.ms")
    im.defineimage(nx=32, ny=32, cellx="20arcsec", celly="20arcsec", mode="mfs", spw=[0])
    im.make("mod.im")
    im.close()
    ia.open("mod.im")
    ia.set(1.0)
    ia.close()
    cb.open("m.ms")
    cb.createcaltable("g.cal", "Complex", "G Jones", True)
    cb.close()
    os.chdir("..")


def main() -> None:
    """Run all sessions."""
    prepare()
    import casatools

    _stock(casatools)
    recording = _Recording()
    hook = ToolHook(recording)  # type: ignore[arg-type]
    hook.install(casatools)
    Path(sys.argv[1]).write_text(json.dumps(list(_run(casatools, hook, recording)), indent=1))


main()
