"""States of a deposit, and its visibility."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from archived import CURATOR, OWNER, STRANGER, a_deposit
from casaprov.archive.deposits import FINAL, LEASED, TRANSITIONS, Person, State, may_become, may_change, may_see

AT = datetime(2026, 5, 1, tzinfo=UTC)


def test_every_state_is_reached_from_the_first_and_leads_to_a_final_one() -> None:
    reached, waiting = set(), [State.RECEIVED]
    while waiting:
        state = waiting.pop()
        reached.add(state)
        waiting += [after for after in TRANSITIONS[state] if after not in reached]
    assert reached == set(State)
    assert set(TRANSITIONS) == set(State)
    assert not FINAL & LEASED


def test_nothing_leaves_a_rejection_or_a_withdrawal() -> None:
    assert not any(may_become(before, after) for before in (State.REJECTED, State.WITHDRAWN) for after in State)


@pytest.mark.parametrize("state", list(State))
def test_a_deposit_that_was_never_published_is_seen_by_owner_and_curators_only(state: State) -> None:
    deposit = a_deposit(state=state)
    assert not may_see(deposit, None)
    assert not may_see(deposit, STRANGER)
    assert may_see(deposit, OWNER)
    assert may_see(deposit, CURATOR)


@pytest.mark.parametrize("state", [State.PUBLISHED, State.WITHDRAWN])
def test_a_deposit_that_was_published_stays_known_and_is_changed_by_its_owner_only(state: State) -> None:
    deposit = a_deposit(state=state, published_at=AT)
    assert may_see(deposit, None)
    assert not may_change(deposit, STRANGER)
    assert may_change(deposit, OWNER)


def test_the_same_subject_of_another_issuer_is_another_person() -> None:
    assert not may_see(a_deposit(), Person(iss="https://evil.example", sub=OWNER.sub))
