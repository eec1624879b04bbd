"""Random reductions of a small MeasurementSet, in rounds that differ little: most of their calls are known."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from two_kernels import Step, TwoKernels, call, fresh

_CLOSED = "tb.close()"
_REPLACE = "shutil.rmtree('w.ms'); shutil.move('x.ms', 'w.ms')"


def edit(table: str, change: str) -> Step:
    """A cell that changes a table with a tool."""
    return Step(f"tb.open({table!r}, nomodify=False); {change}; tb.close()")


EDITS = {
    "data": edit("w.ms", "d = tb.getcol('DATA'); d *= 1.5; tb.putcol('DATA', d)"),
    "flags": edit("w.ms", "d = tb.getcol('FLAG'); d[0, 0, :9] = True; tb.putcol('FLAG', d)"),
    "weights": edit("w.ms", "d = tb.getcol('WEIGHT'); d *= 2; tb.putcol('WEIGHT', d)"),
    "sigma": edit("w.ms", "d = tb.getcol('SIGMA'); d *= 2; tb.putcol('SIGMA', d)"),
    "a keyword": edit("w.ms", "tb.putkeyword('MINE', 'text')"),
    "a sub-table": edit("w.ms/ANTENNA", "d = tb.getcol('POSITION'); d[0] += 1; tb.putcol('POSITION', d)"),
    "a time": edit("w.ms", "d = tb.getcol('TIME'); d += 0.001; tb.putcol('TIME', d)"),
    "rows": Step(
        f"tb.open('w.ms'); t = tb.query('rownumber() < 60'); t.copy('x.ms', deep=True).close(); t.close(); {_CLOSED}; "
        f"{_REPLACE}"
    ),
    "another layout": Step(
        f"tb.open('w.ms'); tb.copy('x.ms', deep=True, valuecopy=True).close(); {_CLOSED}; {_REPLACE}"
    ),
    "a copy": Step("shutil.copytree('w.ms', 'x.ms'); shutil.rmtree('w.ms'); shutil.move('x.ms', 'w.ms')"),
    "file times": Step("[os.utime(os.path.join('w.ms', name)) for name in os.listdir('w.ms')]"),
    "gains": Step(
        "ok = os.path.isdir('g.G')\n"
        "if ok: tb.open('g.G', nomodify=False); d = tb.getcol('CPARAM'); d *= 1.1; tb.putcol('CPARAM', d); tb.close()"
    ),
    "an open table": Step("tb.open('w.ms'); d = tb.getcol('DATA')"),
    "an open table, for writing": Step(
        "tb.open('w.ms', nomodify=False); tb.putcell('DATA', 0, tb.getcell('DATA', 0) * 2); tb.flush()"
    ),
    "a closed table": Step(_CLOSED),
    "no gains": Step("shutil.rmtree('g.G', ignore_errors=True)"),
    "no visibilities": Step("shutil.rmtree('s.ms', ignore_errors=True)"),
    "no images": Step("[shutil.rmtree(name) for name in os.listdir() if name.startswith('i.')]"),
    "no model": Step("shutil.rmtree('i.model', ignore_errors=True)"),
    "another kernel": Step("pass", "restarted"),
    "a link": Step("os.rename('w.ms', 'x.ms'); os.symlink('x.ms', 'w.ms')"),
}
"""Cells of other code than tasks, by what they change."""

FURTHER = (
    call("setjy", vis="w.ms", standard="manual", fluxdensity=[3, 0, 0, 0], usescratch=False),
    call("ft", vis="s.ms", model="i.model", usescratch=True),
    call("ft", vis="s.ms", model="i.model", usescratch=False),
    call("clearcal", vis="w.ms"),
    call("delmod", vis="w.ms", otf=True, scr=True),
    call("delmod", vis="s.ms", otf=True, scr=False),
    call("flagmanager", vis="w.ms", mode="save", versionname="mine"),
    call("flagmanager", vis="w.ms", mode="restore", versionname="mine"),
    call("flagdata", vis="w.ms", mode="unflag", flagbackup=True),
    call("flagdata", vis="w.ms", mode="clip", datacolumn="CORRECTED", clipminmax=[0, 1], flagbackup=False),
    call("flagdata", vis="w.ms", mode="clip", datacolumn="RESIDUAL", clipminmax=[0, 2], flagbackup=False),
    call("flagdata", vis="w.ms", mode="summary"),
    call("statwt", vis="s.ms", datacolumn="data", flagbackup=False),
    call("initweights", vis="w.ms", wtmode="ones"),
    call("uvsub", vis="w.ms"),
    call("split", vis="w.ms", outputvis="m.ms", datacolumn="model"),
    call("mstransform", vis="w.ms", outputvis="a.ms", datacolumn="all"),
    call("hanningsmooth", vis="w.ms", outputvis="h.ms", datacolumn="data"),
    call("phaseshift", vis="s.ms", outputvis="p.ms", phasecenter="J2000 15h22m00 +05d04m00", datacolumn="data"),
    call("concat", vis=["s.ms", "m.ms"], concatvis="c.ms"),
    call("bandpass", vis="w.ms", caltable="b.B", gaintable=["g.G"], refant="3", minsnr=0.0),
    call("gencal", vis="w.ms", caltable="o.G", caltype="amp", parameter=[2.0]),
    call("smoothcal", vis="w.ms", tablein="g.G", caltable="sm.G", smoothtype="median", smoothtime=60.0),
    call("applycal", vis="w.ms", gaintable=["g.G", "b.B"], calwt=[True], flagbackup=True),
    call("applycal", vis="w.ms", gaintable=["o.G"], calwt=[False], flagbackup=False),
    call("uvmodelfit", vis="w.ms", niter=2, sourcepar=[1.0, 0.0, 0.0], outfile="fit.cl"),
    call("visstat", vis="w.ms", datacolumn="corrected"),
    call("visstat", vis="w.ms", datacolumn="data", axis="amp"),
    call("listobs", vis="w.ms", listfile="l.txt", overwrite=True),
    call("vishead", vis="w.ms", mode="put", hdkey="observer", hdvalue="me"),
    call("tclean", vis="s.ms", imagename="i", imsize=32, cell="30arcsec", niter=2, savemodel="modelcolumn"),
    call("tclean", vis="s.ms", imagename="i", imsize=32, cell="30arcsec", niter=0, restart=False),
    call("tclean", vis="w.ms", imagename="k", imsize=32, cell="30arcsec", specmode="cube", niter=0),
    call("exportfits", imagename="i.image", fitsimage="i.fits", overwrite=True),
    call("importfits", fitsimage="i.fits", imagename="f.im", overwrite=True),
    call("immath", imagename=["i.image"], expr="IM0*2", outfile="x2.im"),
    call("imsubimage", imagename="k.image", chans="1~2", outfile="c.im", overwrite=True),
    call("immoments", imagename="k.image", moments=[0], outfile="m0.im"),
    call("imstat", imagename="i.residual"),
    call("imval", imagename="i.image", box="3,3,5,5"),
    call("specsmooth", imagename="k.image", outfile="ss.im", axis=2, function="hanning", overwrite=True),
    call("makemask", mode="copy", inpimage="i.image", inpmask="i.image:mask0", output="mk.im"),
    call("rmtables", tablenames=["sm.im"]),
)
"""Calls that a reduction may have as well.

Without exportuvfits: it writes UT1-UTC, which CASA interpolates from what the process looked up before.
"""


@dataclass
class Rounds:
    """Rounds of a small reduction, each a little different from the one before."""

    kernels: TwoKernels
    random: random.Random
    measurement_set: Path
    values: dict[str, Any] = field(default_factory=dict)
    walk: list[Step] = field(default_factory=list)
    _CHOICES: ClassVar[dict[str, list[Any]]] = {
        "antenna": ["1", "2", "9&&9"],  # no antenna 9: the flags stay as they are
        "flux": [5.0, 2.0],
        "solint": ["inf", "60s"],
        "column": ["corrected", "data"],
        "niter": [0, 3],
        "major": ["60arcsec", "90arcsec"],
    }

    def __post_init__(self) -> None:
        self.values = {name: choices[0] for name, choices in self._CHOICES.items()}

    def fresh(self) -> Step:
        """Remove everything, and begin with the MeasurementSet."""
        return fresh(self.measurement_set)

    def reduction(self) -> list[Step]:
        """The calls with the present values."""
        of = self.values
        image = {"imagename": "i", "imsize": 32, "cell": "30arcsec", "niter": of["niter"], "interactive": False}
        return [
            call("flagdata", vis="w.ms", antenna=of["antenna"], flagbackup=False),
            call("setjy", vis="w.ms", standard="manual", fluxdensity=[of["flux"], 0, 0, 0], usescratch=True),
            call("gaincal", vis="w.ms", caltable="g.G", solint=of["solint"], refant="3", minsnr=0.0),
            call("applycal", vis="w.ms", gaintable=["g.G"], flagbackup=False),
            call("split", vis="w.ms", outputvis="s.ms", datacolumn=of["column"]),
            call("tclean", vis="s.ms", datacolumn="data", **image),
            call("imsmooth", imagename="i.image", outfile="sm.im", major=of["major"], minor="50arcsec", pa="10deg"),
            call("imstat", imagename="sm.im"),
        ]

    # -- kinds of rounds ---------------------------------------------------------

    def edited(self) -> list[Step]:
        """A round after one value was edited."""
        name = self.random.choice(sorted(self._CHOICES))
        self.values[name] = self.random.choice(self._CHOICES[name])
        return [self.fresh(), *self.reduction()]

    def unchanged(self) -> list[Step]:
        """A round with nothing changed."""
        return [self.fresh(), *self.reduction()]

    def disturbed(self) -> list[Step]:
        """A round with something else between its calls."""
        steps = self.reduction()
        position = self.random.randrange(1, len(steps))
        kind = self.random.choice(sorted(EDITS))
        return [self.fresh(), *steps[:position], EDITS[kind], *steps[position:]]

    def with_an_open_table(self) -> list[Step]:
        """A round while a tool has the MeasurementSet open, after it read some of it."""
        steps = self.reduction()
        position = self.random.randrange(0, 4)
        return [self.fresh(), *steps[:position], EDITS["an open table"], *steps[position:]]

    def with_other_flags(self) -> list[Step]:
        """A round with a column changed by other code before a call that only reads the MeasurementSet."""
        steps = self.reduction()
        column = EDITS[self.random.choice(["data", "flags", "sigma", "weights"])]
        return [self.fresh(), *steps[:2], column, *steps[2:]]

    def walked(self) -> list[Step]:
        """A walk through further calls and disturbances: first as before, then with a part of it anew."""
        keep = self.random.randrange(len(self.walk) // 2, len(self.walk) + 1)
        further = [self.random.choice(FURTHER) for _ in range(self.random.randrange(2, 6))]
        if self.random.random() < 0.5:
            further.insert(self.random.randrange(len(further)), EDITS[self.random.choice(sorted(EDITS))])
        self.walk = [*self.walk[:keep], *further] if len(self.walk) < 24 else []
        return [self.fresh(), *self.reduction()[:6], *self.walk]

    def again(self) -> list[Step]:
        """The calls once more, onto what they left."""
        return self.reduction()

    def in_another_order(self) -> list[Step]:
        """Two neighbouring calls of the calibration change places."""
        steps = self.reduction()
        position = self.random.randrange(0, 3)
        steps[position], steps[position + 1] = steps[position + 1], steps[position]
        return [self.fresh(), *steps]

    def deleted(self) -> list[Step]:
        """A product is deleted, and the calls from there on run again."""
        steps = self.reduction()
        product = self.random.choice([("g.G", 2), ("s.ms", 4), ("sm.im", 6)])
        return [Step(f"shutil.rmtree({product[0]!r}, ignore_errors=True)"), *steps[product[1] :]]

    def below(self) -> list[Step]:
        """The calls in a folder below."""
        return [
            self.fresh(),
            Step("os.mkdir('sub'); os.rename('w.ms', 'sub/w.ms'); os.chdir('sub')"),
            *self.reduction(),
        ]

    def with_threads(self) -> list[Step]:
        """The calls with another number of threads, and then with the former one."""
        return [
            self.fresh(),
            *self.reduction()[:6],
            Step("casatasks.casalog.ompSetNumThreads(1)"),
            *self.reduction()[6:],
            Step("casatasks.casalog.ompSetNumThreads(2)"),
            Step("shutil.rmtree('sm.im')"),
            *self.reduction()[6:],
        ]

    def killed(self) -> list[Step]:
        """A kill in the middle of a call, and a round after it."""
        steps = self.reduction()
        position = self.random.randrange(0, 6)
        first = [self.fresh(), *steps[:position], Step(steps[position].code, "killed")]
        return [*first, self.fresh(), *self.reduction()]

    def play(self, kinds: Iterable[str]) -> None:
        """Run the calls once, and then a round of each of these kinds."""
        for step in (self.fresh(), *self.reduction()):
            self.kernels.run(step)
        for kind in kinds:
            for step in getattr(self, kind)():
                self.kernels.run(step)


KINDS = (
    "edited",
    "with_threads",
    "again",
    "disturbed",
    "walked",
    "with_an_open_table",
    "with_other_flags",
    "in_another_order",
    "deleted",
    "below",
    "killed",
    "unchanged",
    "unchanged",
    "unchanged",
)
"""Kinds of rounds; three of nothing new, so that half of the look-ups are hits."""


@dataclass(frozen=True)
class Bug:
    """A bug of a cache: a name that is replaced in the cached kernel, what it is replaced by, and cells that show it."""

    name: str
    by: str
    cells: tuple[Step, ...]

    @property
    def plant(self) -> Step:
        """A cell that plants it."""
        return Step(f"from unittest import mock; bug = mock.patch({self.name!r}, {self.by}); bug.start(); None")


REMOVE_BUG = Step("bug.stop(); None")

_GAINS = call("gaincal", vis="w.ms", caltable="g.G", solint="inf", refant="3", minsnr=0.0)
_FLAGS = call("flagdata", vis="w.ms", antenna="1", flagbackup=False)
_SPLIT = call("split", vis="w.ms", outputvis="s.ms", datacolumn="data")
_OTHER_SPLIT = call("split", vis="w.ms", outputvis="t.ms", datacolumn="data")  # not known yet
_FRESH = Step("fresh")  # stands for the cell that begins a round

PLANTED = {
    "keys by path": Bug(
        "casaprov.recompute.lookup.content_state",
        "lambda measured, unread=frozenset(): 'there'",
        (_FRESH, _GAINS, _FRESH, EDITS["data"], _GAINS),
    ),
    "existing outputs ignored": Bug(
        "casaprov.recompute.action_key.KeyedCall.stateful_outputs",
        "property(lambda call: ())",
        (_FRESH, _SPLIT, _SPLIT),
    ),
    "an open table ignored": Bug(
        "casaprov.casa.installed.held.held_reason",
        "lambda paths: ''",
        (_FRESH, _FLAGS, _SPLIT, _FRESH, Step("tb.open('w.ms'); d = tb.getcol('FLAG')"), _FLAGS, _OTHER_SPLIT),
    ),
    "columns taken too narrowly": Bug(
        "casaprov.tasks.reuse.ReuseTerms.unread_columns",
        "lambda terms, parameter, parameters, present: present & {'DATA', 'MODEL_DATA', 'SIGMA'}",
        (_FRESH, _GAINS, _FRESH, EDITS["data"], _GAINS),
    ),
}  # fmt: skip
"""Bugs of a cache."""


def cells_of(bug: Bug, measurement_set: Path) -> list[Step]:
    """Return the cells that show a bug."""
    return [fresh(measurement_set) if step is _FRESH else step for step in bug.cells]
