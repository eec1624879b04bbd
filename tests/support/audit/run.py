"""Run the audited calls in the working directory: ``python -m audit.run OBSERVATIONS CASADATA LOG FAILURES``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from audit import calibration, images, visibilities
from audit.recording import audited
from casaprov.casa.installed.data import prepare


def main() -> None:
    """Run all; write which calls failed."""
    observations, casadata, log, failures = map(Path, sys.argv[1:5])
    prepare()
    import casatasks

    with audited(casatasks, Path.cwd(), log) as casa:
        visibilities.import_(casa, observations, casadata)
        visibilities.look(casa)
        visibilities.flag(casa)
        calibration.calibrate(casa)
        calibration.calibrate_others(casa)
        visibilities.edit(casa)
        images.image(casa)
        images.analyse(casa)
        images.simulate(casa)
    failures.write_text(json.dumps(casa.failures))


main()
