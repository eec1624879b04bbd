"""Keywords, times and bands."""

from __future__ import annotations

import pytest

from casaprov.observations.summary import band, coverage, keywords, label
from casaprov.observations.words import LIGHT
from casaprov.records.observation import Observation


def at(ghz: float, facility: str = "") -> Observation:
    return Observation(target_name="M87", em_min=LIGHT / ghz / 1e9, em_max=LIGHT / ghz / 1e9, facility_name=facility)


@pytest.mark.parametrize(
    ("ghz", "facility", "name"),
    [
        (1.4, "VLA", "L band"),
        (4.99, "EVN", "C band"),
        (112, "ALMA", "Band 3"),
        (227.1, "", "1.3 mm"),
        (0.15, "LOFAR", ""),
    ],
)
def test_bands_have_the_names_that_observers_use(ghz: float, facility: str, name: str) -> None:
    assert band(at(ghz, facility)) == name


def test_keywords_are_telescopes_targets_and_bands_each_once() -> None:
    assert keywords([at(1.4, "VLA"), at(1.5, "VLA"), at(8.4, "VLBA")]) == ["VLA", "VLBA", "M87", "L band", "X band"]


def test_coverage_is_an_interval_of_iso_8601() -> None:
    rows = [Observation(t_min=57854.0, t_max=57854.5), Observation(t_min=57853.25, t_max=57854.1)]
    assert coverage(rows) == "2017-04-10T06:00:00/2017-04-11T12:00:00"
    assert coverage([Observation(t_min=57854.0, t_max=57854.0)]) == "2017-04-11T00:00:00"
    assert coverage([]) == coverage([Observation()]) == ""


def test_a_label_leaves_out_what_is_not_known() -> None:
    assert label(Observation(target_name="M87", t_min=57854.0)) == "M87, 2017-04-11"
    assert label(Observation()) == "an observation"
