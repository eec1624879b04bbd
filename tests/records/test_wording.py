"""Numbers of things, as sentences say them."""

from __future__ import annotations

from casaprov.records.wording import counted


def test_a_number_of_things_is_said_as_people_do() -> None:
    assert [counted(number, "call") for number in (0, 1, 2)] == ["0 calls", "1 call", "2 calls"]
    assert counted(2, "archive query", "archive queries") == "2 archive queries"
