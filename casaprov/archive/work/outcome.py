"""The decision about a deposit after its check or replay."""

from __future__ import annotations

from datetime import datetime

from casaprov.archive.deposits import Deposit, Kind, State, Verdict, VerdictSummary
from casaprov.archive.settings import PolicySettings, ReplaySettings

__all__ = ["after_check", "after_replay"]


def after_check(deposit: Deposit, replay: ReplaySettings, public_from: datetime | None, at: datetime) -> State:
    """Return the state of a sound deposit."""
    if deposit.kind is Kind.CRATE and replay.enabled:
        return State.WAITING
    return published_or_embargoed(public_from, at)


def after_replay(deposit: Deposit, verdict: Verdict, policy: PolicySettings, at: datetime) -> State:
    """Return the state of a replayed crate."""
    if policy.publish == "verified" and verdict.summary is not VerdictSummary.VERIFIED:
        return State.HELD
    return published_or_embargoed(deposit.public_from, at)


def published_or_embargoed(public_from: datetime | None, at: datetime) -> State:
    """Return ``embargoed`` before the time from which a deposit may be seen."""
    return State.EMBARGOED if public_from is not None and public_from > at else State.PUBLISHED
