"""The reduction of ``recomputing.py`` as a pipeline of DVC: one stage, with a script of its own, for each task.

A stage of DVC must not change what another one left. So a task that changes its input in place has a copy of it, made by
the stage; the copy that ``applycal`` leaves stands for ``w.ms``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from casaprov.casa.installed import data
from measuring import TIMEOUT_S

__all__ = ["STAGES", "Pipeline"]


class Stage(NamedTuple):
    """Paths that a stage reads and makes, and its code."""

    reads: tuple[str, ...]
    makes: tuple[str, ...]
    code: str


STAGES = {
    "flagdata": Stage(
        ("w.ms",),
        ("flagged.ms",),
        'shutil.copytree("w.ms", "flagged.ms")\nflagdata(vis="flagged.ms", antenna="{antenna}", flagbackup=False)',
    ),
    "setjy": Stage(
        ("flagged.ms",),
        ("model.ms",),
        'shutil.copytree("flagged.ms", "model.ms")\n'
        'setjy(vis="model.ms", standard="manual", fluxdensity=[5, 0, 0, 0], usescratch=True)',
    ),
    "gaincal": Stage(
        ("model.ms",), ("g.G",), 'gaincal(vis="model.ms", caltable="g.G", solint="inf", refant="3", minsnr=0.0)'
    ),
    "applycal": Stage(
        ("model.ms", "g.G"),
        ("calibrated.ms",),
        'shutil.copytree("model.ms", "calibrated.ms")\n'
        'applycal(vis="calibrated.ms", gaintable=["g.G"], flagbackup=False)',
    ),
    "split": Stage(
        ("calibrated.ms",), ("s.ms",), 'split(vis="calibrated.ms", outputvis="s.ms", datacolumn="corrected")'
    ),
    "tclean": Stage(
        ("s.ms",),
        tuple(f"i.{end}" for end in ("image", "model", "residual", "psf", "pb", "sumwt")),
        'tclean(vis="s.ms", imagename="i", imsize=512, cell="5arcsec", niter={niter}, interactive=False)',
    ),
    "imsmooth": Stage(
        ("i.image",),
        ("sm.im",),
        'imsmooth(imagename="i.image", outfile="sm.im", major="60arcsec", minor="60arcsec", pa="0deg")',
    ),
    "imstat": Stage(
        ("sm.im",), ("peak.json",), 'json.dump(list(imstat(imagename="sm.im")["max"]), open("peak.json", "w"))'
    ),
}


class Pipeline:
    """The pipeline in a folder.

    Parameters
    ----------
    dvc
        The program.
    prepare
        Code that every other code of this benchmark begins with.
    """

    def __init__(self, dvc: Path, folder: Path, prepare: str) -> None:
        self._dvc = dvc
        self._folder = folder
        self._prepare = prepare
        data.prepare()  # CASA's own data; all stages inherit where they are
        self._environment = {
            **os.environ,
            "DVC_NO_ANALYTICS": "1",
            "DVC_GLOBAL_CONFIG_DIR": str(folder / ".dvc-home"),
            "DVC_SITE_CACHE_DIR": str(folder / ".dvc-site"),
        }
        self._run(str(dvc), "init", "--no-scm", "--quiet")
        stages = {
            task: {
                "cmd": f"'{sys.executable}' {task}.py",
                "deps": [f"{task}.py", *stage.reads],
                "outs": list(stage.makes),
            }
            for task, stage in STAGES.items()
        }
        (folder / "dvc.yaml").write_text(json.dumps({"stages": stages}), encoding="utf-8")  # JSON is YAML

    def write(self, *, antenna: str, niter: int, comment: str) -> None:
        """Write the scripts of all stages; `comment` begins the first one."""
        for task, stage in STAGES.items():
            begin = comment if task == next(iter(STAGES)) else ""
            text = f"{begin}import json, shutil\nfrom casatasks import {task}\n"
            text += stage.code.format(antenna=antenna, niter=niter)
            (self._folder / f"{task}.py").write_text(f"{text}\n", encoding="utf-8")

    def do(self, code: str) -> str:
        """Run code in the folder; return its printed text."""
        return self._run(sys.executable, "-c", f"{self._prepare}\n{code}")

    def repro(self) -> float:
        """Run ``dvc repro``; return its duration in seconds."""
        began = time.perf_counter()
        self._run(str(self._dvc), "repro", "--quiet")
        return time.perf_counter() - began

    def sums(self) -> dict[str, str]:
        """Return the sums of the products, by the names that these have without DVC."""
        found = json.loads(self.do("print(json.dumps(sums()))").splitlines()[-1])
        return {
            name.replace("calibrated.ms", "w.ms"): digest
            for name, digest in found.items()
            if not name.startswith("w.ms")
        }

    def _run(self, *words: str) -> str:
        done = subprocess.run(
            words,
            cwd=self._folder,
            env=self._environment,
            check=False,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )
        if done.returncode:
            raise RuntimeError(f"{Path(words[0]).name} {' '.join(words[1:2])} failed: {done.stderr.strip()[-500:]}")
        return done.stdout
