"""Comparison of recorded states with the files at their paths."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from casaprov.digests.measurement import Measure, Measurement
from casaprov.errors import CasaprovError
from casaprov.forecast.fresh_run import Presence
from casaprov.records.model import Entity

__all__ = ["present_files"]


def present_files(folders: Mapping[str, Path], measure: Measure[Measurement]) -> Callable[[Entity], Presence]:
    """Return a function that compares a state with the file at its path; a state without a digest counts as the same.

    Parameters
    ----------
    folders
        Present folder of each session, by its id.
    measure
        Measures a file or table.
    """

    def presence(state: Entity) -> Presence:
        path = folders[state.session] / state.path
        if not os.path.lexists(path):
            return "gone"
        if state.content_digest is None:
            return "same"
        try:
            return "same" if measure(path, tier=state.tier).content_digest == state.content_digest else "other"
        except CasaprovError:
            return "other"

    return presence
