"""Confinement of a process that only reads: it can change nothing, open no socket and reach no other process.

A casacore table can run code when it is opened, and files of strangers can mislead the library that parses them. So
products are read by processes that gave up their rights before they loaded a library (:func:`confine_reader`).
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from casaprov.confinement.kernel_rules import confine
from casaprov.errors import ConfinementMissing

__all__ = ["confine_reader", "readable"]

_READABLE = "CASAPROV_READABLE"
"""Environment variable with the paths that the process may read, as a JSON list; without it, all that the user may read."""

_PYTHON = (sys.prefix, sys.base_prefix, str(Path(__file__).parents[1]))
"""Modules are loaded when they are first used, which may be later."""


def readable(paths: Iterable[Path]) -> Mapping[str, str]:
    """Return the environment of a process that may read these paths and Python's own files, and nothing else."""
    return {_READABLE: json.dumps([path.resolve().as_posix() for path in paths])}


def confine_reader() -> None:
    """Confine this process to reading, for good; where the kernel cannot do it, go on without.

    A library that is told to load another may do so before it is refused: whatever this process reads is examined
    first (:mod:`casaprov.formats.storage_managers`), with and without confinement.
    """
    paths = json.loads(os.environ.pop(_READABLE, '["/"]'))
    try:
        confine(write=[], read=map(Path, [*paths, *_PYTHON]))
    except ConfinementMissing:
        return
