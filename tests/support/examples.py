"""Examples of hypothesis: few and the same in ``make test``, many and random in ``make test-long``."""

from __future__ import annotations

import os

import hypothesis

PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "same")
"""``same`` or ``random``."""

MORE = 10 if PROFILE == "random" else 1
"""How many times more examples are drawn than in ``make test``."""


def examples(count: int) -> hypothesis.settings:
    """Set the number of examples in ``make test``; ``make test-long`` draws more."""
    return hypothesis.settings(max_examples=count * MORE)
