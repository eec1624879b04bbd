"""Tests that need a system that reports changes in folders."""

from __future__ import annotations

import pytest

from casaprov.files.witness import Witness

__all__ = ["watched"]


def _reports() -> bool:
    try:
        Witness().close()
    except OSError:
        return False
    return True


watched = pytest.mark.skipif(not _reports(), reason="this system does not tell who changes files (Linux 5.13 does)")
