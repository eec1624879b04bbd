"""Open files that this process may still have: where they are few, they belong to CASA.

A MeasurementSet takes one or two descriptors for each of its tables and columns, and CASA reports a missing one as a table
that does not exist.
"""

from __future__ import annotations

import resource
from pathlib import Path

__all__ = ["are_scarce"]

_PLENTY = 512  # with such a limit nothing is counted
_RESERVE = 128  # what a task may need: several MeasurementSets


def are_scarce() -> bool:
    """Return True if this process may open so few files more that a task may run out of them."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit == resource.RLIM_INFINITY or limit >= _PLENTY:
        return False
    try:
        return limit - sum(1 for _ in Path("/dev/fd").iterdir()) < _RESERVE
    except OSError:  # there is not even one left, or the system does not list them
        return True
