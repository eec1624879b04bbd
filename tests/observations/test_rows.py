"""One row for each target of each observation."""

from __future__ import annotations

import numpy as np

from casaprov.observations.rows import MOST_ROWS, Field, Headers, Scans, Setup, visibilities
from casaprov.records.observation import Observation

SETUPS = {0: Setup((1.4e9, 1.5e9), ("RR", "LL")), 1: Setup((8.0e9, 8.1e9), ("RR",))}


def field(name: str, ra: float) -> Field:
    return Field(name, (ra, 10.0), "J2000", "FIELD.NAME", "FIELD.PHASE_DIR")


def rows(
    *scans: tuple[int, int, int, float, float], fields: dict[int, Field], with_observer: bool = False
) -> tuple[Observation, ...]:
    gathered = Scans()
    for part in (scans[:2], scans[2:]):  # as blocks of a large table come
        if part:
            gathered.add(*map(np.array, zip(*part, strict=True)))
    headers = {0: Headers(telescope="VLA", project="AB1", names={"project": "P"}), 1: Headers(observer="A. Person")}
    return visibilities(
        gathered.spans,
        headers=headers,
        fields=fields,
        setups=SETUPS,
        sources={"t": "T"},
        calib_level=1,
        with_observer=with_observer,
    )


def test_targets_and_observations_are_told_apart() -> None:
    fields = {0: field("a", 1), 1: field("b", 2)}
    found = rows((0, 0, 0, 5.0, 5.1), (0, 1, 1, 5.2, 5.3), (0, 0, 0, 5.4, 5.5), (1, 0, 0, 9.0, 9.1), fields=fields)
    assert [(row.target_name, row.t_min, row.t_max) for row in found] == [
        ("a", 5.0, 5.5),
        ("b", 5.2, 5.3),
        ("a", 9.0, 9.1),
    ]
    assert [row.facility_name for row in found] == ["VLA", "VLA", ""]
    assert [row.pol_states for row in found] == ["/RR/LL/", "/RR/", "/RR/LL/"]
    assert found[0].em_min == 0.199861639  # 1.5 GHz
    assert found[0].sources["t_min"] == "T"


def test_fields_of_one_name_are_one_target_in_their_middle() -> None:
    fields = {0: field("mosaic", 10.0), 1: field("mosaic", 10.2)}
    (found,) = rows((0, 0, 0, 5.0, 5.1), (0, 1, 0, 5.1, 5.2), fields=fields)
    assert abs(found.s_ra - 10.1) < 1e-6 if found.s_ra else False
    assert found.sources["s_ra"] == "mean of 2 rows of FIELD.PHASE_DIR (J2000)"


def test_an_observer_is_named_only_if_asked_for() -> None:
    fields = {0: field("a", 1)}
    assert rows((1, 0, 0, 5.0, 5.1), fields=fields)[0].observer == ""
    assert rows((1, 0, 0, 5.0, 5.1), fields=fields, with_observer=True)[0].observer == "A. Person"


def test_a_survey_is_cut_and_says_so() -> None:
    fields = {n: field(f"f{n}", n) for n in range(MOST_ROWS + 6)}
    found = rows(*[(0, n, 0, 5.0 + n, 5.5 + n) for n in fields], fields=fields)
    assert len(found) == MOST_ROWS
    assert found[-1].note == "6 more targets are not listed."


def test_times_that_mean_nothing_are_left_out() -> None:
    assert rows((0, 0, 0, float("nan"), 5.0), (0, 0, 0, 0.0, 0.0), fields={}) == ()
