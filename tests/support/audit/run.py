"""Run the audited calls in the working directory: ``python -m audit.run CASADATA LOG FAILURES [OBSERVATIONS]``.

Without observations only a few calls are run, on data that come with CASA.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from audit import calibration, images, visibilities
from audit.recording import Audited, audited
from casaprov.casa.installed.data import prepare


def every_call(casa: Audited, observations: Path, casadata: Path) -> None:
    """Make all calls of the audit."""
    visibilities.import_(casa, observations, casadata)
    visibilities.look(casa)
    visibilities.flag(casa)
    calibration.calibrate(casa)
    calibration.calibrate_others(casa)
    visibilities.edit(casa)
    images.image(casa)
    images.analyse(casa)
    images.simulate(casa)


def main() -> None:
    """Run all; write which calls failed."""
    casadata, log, failures, *observations = map(Path, sys.argv[1:])
    prepare()
    import casatasks

    with audited(casatasks, Path.cwd(), log) as casa:
        if observations:
            every_call(casa, observations[0], casadata)
        else:
            visibilities.import_ngc5921(casa, casadata)
            visibilities.flag(casa)
    failures.write_text(json.dumps(casa.failures))


main()
