"""A child process that is confined to reading before it loads the module that answers its calls.

It runs as ``python -m casaprov.confinement.worker MODULE``. The import of numpy starts threads, and a thread that runs
already would stay free: so this module, which imports little, comes first.
"""

from __future__ import annotations

import importlib
import os
import sys

from casaprov.confinement.reader import confine_reader

__all__ = ["main"]

_NICE = 10
"""CASA comes first where there are fewer processors than processes; code that waits for a worker leaves it the processor."""


def main() -> None:
    """Confine this process, then serve as the module that the command line names."""
    os.nice(_NICE)  # before the confinement, after which it has no effect
    confine_reader()
    importlib.import_module(sys.argv[1]).main()


if __name__ == "__main__":
    main()
