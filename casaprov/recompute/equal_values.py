"""Values of parameters that mean the same to CASA, so that they make one key.

Each rule is proved by a test that runs the task both ways. Values that are not proved equal stay different.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["canonical_values"]


def canonical_values(_task: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a call with one form for all values that mean the same."""
    return dict(parameters)
