"""Deposits for tests, and an archive that takes them."""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from casaprov.archive.deposits import Deposit, Kind, NewDeposit, Person, State

__all__ = ["OWNER", "STRANGER", "a_deposit", "a_new_deposit"]

OWNER = Person(iss="https://id.example", sub="ada", name="Ada")
STRANGER = Person(iss="https://id.example", sub="eve", name="Eve")


def a_deposit(**fields: Any) -> Deposit:
    """Return a deposit as the tables would, with some fields set."""
    at = datetime(2026, 5, 1, tzinfo=UTC)
    deposit = Deposit(
        id="0123456789abcdef",
        kind=Kind.CRATE,
        state=State.RECEIVED,
        attempt=0,
        owner=OWNER,
        obs_id="N14C3",
        number=1,
        version=1,
        did="ivo://jive.eu/~?crate/N14C3-0001/v1",
        filename="ngc5921.crate.zip",
        sha256="sha256:" + "0" * 64,
        size_bytes=1000,
        description="",
        license="CC-BY-4.0",
        title="",
        creators=(),
        about={},
        issues=(),
        verdicts=(),
        doi="",
        reason="",
        received_at=at,
        modified_at=at,
        published_at=None,
        public_from=None,
        replay_due=None,
    )
    return replace(deposit, **fields)


def a_new_deposit(**fields: Any) -> NewDeposit:
    """Return a deposit that arrives, with content of its own."""
    new = NewDeposit(
        id=secrets.token_hex(8),
        kind=Kind.CRATE,
        owner=OWNER,
        obs_id="N14C3",
        filename="ngc5921.crate.zip",
        sha256="sha256:" + secrets.token_hex(32),
        size_bytes=1000,
        license="CC-BY-4.0",
    )
    return replace(new, **fields)
