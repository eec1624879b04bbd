"""Simulate a MeasurementSet of a given size, as large and as plain as real ones are.

    python benchmarks/simulated.py --size 3.5

CASA's simulator observes one calibrator with the 27 antennas of the VLA, one
integration every 10 s, 256 channels and 4 correlations; all storage managers and
tile shapes are CASA's defaults. DATA, MODEL_DATA and CORRECTED_DATA hold a point
source of 1 Jy with noise, different values in each cell. 3.5 GB are 126,360 rows
and take about a minute and a half. What is there already is not made again.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import measuring

__all__ = ["NOMINAL_GB", "caltables", "copy_of", "read_once", "simulated_ms", "size_of"]

CHANNELS = 256
NOMINAL_GB = 3.5
"""The goals of the digests are for this size; smaller data show that a benchmark works."""

_NOMINAL_INTEGRATIONS = 360
_ROWS_AT_ONCE = 2000


def simulated_ms(cache: Path, size_gb: float) -> Path:
    """Return the MeasurementSet of this size; it is made if it is not in the cache."""
    made = cache / f"simulated-{size_gb:g}GB.ms"
    if not made.is_dir():
        with tempfile.TemporaryDirectory(prefix="simulating-", dir=cache) as folder:
            _run(
                "simulate", folder, Path(folder, made.name), max(2, round(_NOMINAL_INTEGRATIONS * size_gb / NOMINAL_GB))
            )
            Path(folder, made.name).rename(made)
    return made


def caltables(folder: Path, ms: Path) -> tuple[str, str]:
    """Make two calibration tables for a MeasurementSet that turn phases in different ways."""
    names = ("one.gcal", "two.gcal")
    _run("calibrate", str(folder), ms, 0)
    return names


def copy_of(ms: Path, folder: Path) -> Path:
    """Copy a MeasurementSet into a folder, for it to be changed there."""
    return Path(shutil.copytree(ms, folder / ms.name))


def size_of(path: Path) -> int:
    """Size of all files below a folder, in bytes."""
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def read_once(path: Path) -> None:
    """Read all files, so that the kernel has them in its page cache if they fit there."""
    buffer = bytearray(2**20)
    for file in sorted(path.rglob("*")):
        if file.is_file():
            with file.open("rb", buffering=0) as stream:
                while stream.readinto(buffer):
                    pass


def _run(what: str, folder: str, ms: Path, integrations: int) -> None:
    """Run a function of this file in a process of its own, which CASA may fill with its log."""
    from casaprov.casa.installed.data import prepare

    prepare()
    arguments = json.dumps({"what": what, "ms": str(ms), "integrations": integrations})
    command = [sys.executable, __file__, "--child", arguments]
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True, timeout=measuring.TIMEOUT_S)
    if done.returncode:
        raise RuntimeError(f"{ms.name} could not be made: {done.stderr.strip()[-500:]}")


def _child(what: str, ms: str, integrations: int) -> None:
    if what == "calibrate":
        from casatasks import gencal

        for name, degrees in (("one.gcal", 10.0), ("two.gcal", 20.0)):
            gencal(vis=ms, caltable=name, caltype="ph", parameter=[degrees])
        return
    from casatools import calibrater, table

    _observe(ms, integrations)
    # What the calibrater tool adds is what applycal and setjy would add.
    tool: Any = calibrater()
    tool.open(ms, addcorr=True, addmodel=True)
    tool.close()
    tool = table()
    tool.open(ms, nomodify=False)
    _fill(tool)
    tool.close()


def _observe(ms: str, integrations: int) -> None:
    from casatools import measures, simulator

    from casaprov.casa.installed.data import casadata_path

    data = casadata_path()
    if data is None:
        raise RuntimeError("CASA's data are not installed: pip install casadata")
    antennas = [
        line.split()
        for line in (data / "alma" / "simmos" / "vla.a.cfg").read_text().splitlines()
        if line.strip() and not line.startswith("#")
    ]
    x, y, z, diameters = ([float(antenna[index]) for antenna in antennas] for index in range(4))
    sm: Any = simulator()
    me: Any = measures()
    sm.open(ms)
    sm.setconfig(
        telescopename="VLA",
        x=x,
        y=y,
        z=z,
        dishdiameter=diameters,
        mount=["alt-az"],
        antname=[antenna[4] for antenna in antennas],
        coordsystem="global",
        referencelocation=me.observatory("VLA"),
    )
    width = "0.25MHz"
    sm.setspwindow(
        spwname="L",
        freq="1.4GHz",
        deltafreq=width,
        freqresolution=width,
        nchannels=CHANNELS,
        stokes="RR RL LR LL",
    )
    sm.setfeed("perfect R L")
    sm.setfield(sourcename="3C286", sourcedirection=me.direction("J2000", "13h31m08.288s", "30d30m32.96s"))
    sm.setlimits(shadowlimit=0.0, elevationlimit="1deg")
    sm.setauto(autocorrwt=0.0)
    sm.settimes(integrationtime="10s", usehourangle=True, referencetime=me.epoch("UTC", "2020/01/01/00:00:00"))
    sm.observe("3C286", "L", starttime=f"{-integrations * 5}s", stoptime=f"{integrations * 5}s")
    sm.close()


def _fill(tool: Any) -> None:
    import numpy as np

    random = np.random.default_rng(5921)
    source = np.array([1, 0, 0, 1], np.float32)[:, np.newaxis, np.newaxis]
    rows = tool.nrows()
    for column in ("DATA", "MODEL_DATA", "CORRECTED_DATA"):
        for first in range(0, rows, _ROWS_AT_ONCE):
            count = min(_ROWS_AT_ONCE, rows - first)
            noise = random.standard_normal((count, CHANNELS, 8), np.float32).view(np.complex64).T
            tool.putcol(column, source + np.float32(0.1) * noise, first, count)


def main() -> None:
    """Make one and say where it is."""
    parser = measuring.parser(__doc__)
    parser.add_argument("--size", type=float, default=NOMINAL_GB, metavar="GB", help="size in GB (default 3.5)")
    parser.add_argument("--child", type=json.loads, help=argparse.SUPPRESS)
    options = measuring.options(parser)
    if options.chosen["child"]:
        _child(**options.chosen["child"])
        return
    made = simulated_ms(options.cache, options.chosen["size"])
    print(f"{made}: {size_of(made) / 1e9:.2f} GB")


if __name__ == "__main__":
    main()
