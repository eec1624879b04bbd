"""Units and codes of headers become those of ObsCore."""

from __future__ import annotations

import pytest

from casaprov.observations.words import (
    from_frame,
    header_text,
    is_project_code,
    mean_direction,
    number,
    pol_states,
    telescope,
    unsuitable,
    utc_offset_s,
)


def test_a_position_in_b1950_comes_to_j2000() -> None:
    # 3C 273 in both equinoxes, from the VLA calibrator manual.
    found = from_frame("1950.0", (186.638533333, 2.32869166667))
    assert found == pytest.approx((187.2779, 2.05238), abs=2e-4)
    assert from_frame("J2000", (-10.0, 5.0)) == (350.0, 5.0)


@pytest.mark.parametrize(
    ("frame", "position"), [("AZEL", (1.0, 2.0)), ("J2000", (1.0, 91.0)), ("J2000", (float("nan"), 0.0))]
)
def test_a_position_that_means_nothing_is_absent(frame: str, position: tuple[float, float]) -> None:
    assert from_frame(frame, position) is None


def test_the_middle_of_positions_is_on_the_sphere() -> None:
    assert mean_direction([(359.0, 0.0), (1.0, 0.0)]) == (0.0, 0.0)


def test_polarizations_are_in_the_order_of_obscore() -> None:
    assert pol_states(["LR", "RR", "LL", "nonsense"]) == "/RR/LL/LR/"
    assert pol_states([]) == ""


@pytest.mark.parametrize("code", ["BL137", "AO88", "TDEM0003", "N14C3", "EC071A", "12A-123", "C1234"])
def test_codes_of_projects_are_told_from_people(code: str) -> None:
    assert is_project_code(code)


@pytest.mark.parametrize("person", ["Mark J. Mark Claussen", "asaintonge", "TEST", "EHT", "Smith42", ""])
def test_people_are_no_project(person: str) -> None:
    assert not is_project_code(person)


def test_text_of_a_header_can_be_shown_and_stored() -> None:
    assert header_text(b"a\x00b\n  c ") == "a b c"
    assert header_text("\ud800") == "?"
    assert len(header_text("x" * 1000)) == 200
    assert header_text(5) == ""
    assert telescope("Unknown") == ""


def test_atomic_time_is_ahead_of_utc_by_the_leap_seconds_of_the_day() -> None:
    assert [utc_offset_s("TAI", mjd) for mjd in (41317, 49820, 57753.9, 57754, 60000)] == [10, 29, 36, 37, 37]
    assert utc_offset_s("TDT", 60000) == 69.184
    assert utc_offset_s("UTC", 60000) == 0


def test_a_number_is_finite() -> None:
    assert number("1.5") == 1.5
    assert number("inf") is None
    assert number("J2000") is None


def test_a_telescope_is_not_believed_outside_of_its_range() -> None:
    assert unsuitable("VLBA", [227.1e9]) == "VLBA receives no 227.1 GHz"
    assert unsuitable("VLBA", [86e9]) == unsuitable("EHT", [227e9]) == ""
