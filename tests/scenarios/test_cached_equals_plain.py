"""Random reductions: a kernel with the cache on leaves and returns what a plain kernel does, after each cell."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import hypothesis
import hypothesis.strategies as st
import pytest

from casaprov.readers.installed import open_digester
from examples import MORE
from two_kernels import KINDS, PLANTED, Rounds, Step, TwoKernels, Unequal, call

pytestmark = [pytest.mark.casa, pytest.mark.slow]

_MOST_ROUNDS = 24
"""Rounds in which a planted bug must be found."""


@pytest.fixture(scope="module")
def kernels(small_ms: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoKernels]:
    with closing(open_digester()) as digester:
        two = TwoKernels(tmp_path_factory.mktemp("kernels"), small_ms, digester)
        try:
            yield two
        finally:
            two.close()


def test_short_notebooks_leave_what_they_leave_without_a_cache(kernels: TwoKernels) -> None:
    rounds = Rounds(kernels, random.Random(17))
    calibrate, look = rounds.reduction()[:4], call("visstat", vis="w.ms", datacolumn="data")
    scale = "tb.open('w.ms', nomodify=False); d = tb.getcol('DATA'); d *= 1.5; tb.putcol('DATA', d); tb.close()"
    for step in (rounds.fresh(), *calibrate, look):
        kernels.run(step)
    rounds.values["flux"] = 2.0
    edited = rounds.reduction()[:4]
    rounds.values["flux"] = 5.0
    for step in (
        *(rounds.fresh(), *edited, look),  # a parameter
        *(rounds.fresh(), *calibrate, look, *calibrate),  # the calls once more, onto what they left
        *(rounds.fresh(), calibrate[0], Step(scale), *calibrate[1:], look),  # another input
        *(rounds.fresh(), Step("tb.open('w.ms'); d = tb.getcol('FLAG')"), *calibrate),  # an open table
    ):
        kernels.run(step)
    assert kernels.hits >= 0.5


@pytest.mark.long
@hypothesis.settings(
    max_examples=max(1, MORE // 2),
    phases=[hypothesis.Phase.generate],
    suppress_health_check=list(hypothesis.HealthCheck),
)
@hypothesis.given(st.randoms(use_true_random=False), st.lists(st.sampled_from(KINDS), min_size=2, max_size=4))
def test_random_notebooks_leave_what_they_leave_without_a_cache(
    kernels: TwoKernels, choices: random.Random, kinds: list[str]
) -> None:
    Rounds(kernels, choices).play(kinds)


@pytest.mark.long
@pytest.mark.parametrize("bug", PLANTED)
def test_random_notebooks_find_a_planted_bug(kernels: TwoKernels, bug: str) -> None:
    kernels.begin_anew(PLANTED[bug])
    choices = random.Random(bug)
    kinds = [choices.choice([kind for kind in KINDS if kind != "killed"]) for _ in range(_MOST_ROUNDS)]
    with pytest.raises(Unequal):
        Rounds(kernels, choices).play(kinds)
