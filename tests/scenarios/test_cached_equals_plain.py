"""Random reductions: a kernel with the cache on leaves and returns what a plain kernel does, after each cell."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples import PROFILE
from live_kernel import LiveKernel
from random_reductions import EDITS, KINDS, PLANTED, REMOVE_BUG, Rounds, cells_of
from two_kernels import CACHED, PREPARE, TwoKernels, Unequal, call, fresh

pytestmark = [pytest.mark.casa, pytest.mark.slow]

_SEED, _ROUNDS = (None, 2) if PROFILE == "random" else (17, 1)  # of each kind: a round takes 3 to 10 s


@pytest.fixture(scope="module")
def kernels(plain_kernel: LiveKernel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoKernels]:
    two = TwoKernels(tmp_path_factory.mktemp("kernels"), plain_kernel)
    yield two
    two.close()


def test_short_notebooks_leave_what_they_leave_without_a_cache(kernels: TwoKernels, small_ms: Path) -> None:
    rounds = Rounds(kernels, random.Random(17), small_ms)
    calibrate, look = rounds.reduction()[:4], call("visstat", vis="w.ms", datacolumn="data")
    other_data = (rounds.fresh(), calibrate[0], EDITS["data"], *calibrate[1:], look)
    kernels.run_all(
        (
            *(rounds.fresh(), *calibrate, look),
            *(rounds.fresh(), *calibrate, look),
            *(*other_data, *other_data),
            *(rounds.fresh(), *calibrate, calibrate[1]),  # onto what the others left
            *(rounds.fresh(), EDITS["an open table"], calibrate[0]),
        )
    )
    assert kernels.hits >= 0.5


@pytest.mark.long
def test_random_notebooks_leave_what_they_leave_without_a_cache(kernels: TwoKernels, small_ms: Path) -> None:
    choices = random.Random(_SEED)
    kinds = [kind for _ in range(_ROUNDS) for kind in choices.sample(KINDS, len(KINDS))]
    kernels.begin_anew()
    Rounds(kernels, choices, small_ms).play(kinds)
    assert kernels.hits >= 0.5


@pytest.mark.long
@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_bug_is_found_and_nothing_without_it(kernels: TwoKernels, small_ms: Path, name: str) -> None:
    cells = cells_of(PLANTED[name], small_ms)
    kernels.begin_anew()
    kernels.run_all(cells)
    kernels.begin_anew()
    with kernels.planted(PLANTED[name].plant, REMOVE_BUG), pytest.raises(Unequal):
        kernels.run_all(cells)


SMOOTH = """
from casatools import image
ia = image()
def smoothed():
    shutil.rmtree("sm.im", ignore_errors=True)
    imsmooth("noise.im", outfile="sm.im", major="5arcmin", minor="4arcmin", pa="10deg")
    ia.open("sm.im")
    pixels = ia.getchunk().tobytes()
    ia.close()
    return __import__("hashlib").sha256(pixels).hexdigest()
if not os.path.isdir("noise.im"):
    ia.fromarray("noise.im", np.random.default_rng(1).normal(size=(64, 64, 1, 1)))
    ia.setbrightnessunit("Jy/beam")
    ia.setrestoringbeam("20arcsec", "10arcsec", "0deg")
    ia.close()
"""
IGNORED = """
from casaprov.casa import recomputing
computing = recomputing.computing_environment
recomputing.computing_environment = lambda _: {"threads": "ignored"}
"""


@pytest.mark.long
@pytest.mark.parametrize("planted", ["", IGNORED])
def test_pixels_of_another_number_of_threads_are_restored_only_by_a_planted_bug(
    casa_site_config: object, tmp_path: Path, planted: str
) -> None:
    """FFTW takes the number when it is first used: a kernel each."""
    pixels, plain = {}, ""
    for threads in ("2", "1"):
        kernel = LiveKernel(tmp_path, environ={**os.environ, "OMP_NUM_THREADS": threads})
        try:
            for cell in (CACHED, PREPARE, "import casaprov", planted or "pass", SMOOTH):
                kernel.good(cell)
            pixels[threads] = kernel.good("smoothed()").text
            plain = kernel.good("with casaprov.nocache(): found = smoothed()\nfound").text
        finally:
            kernel.close()
    assert (pixels["1"] == plain) == (not planted)


@pytest.mark.long
def test_values_that_count_as_one_give_equal_products(kernels: TwoKernels, small_ms: Path) -> None:
    gains = "gaincal('w.ms', 'g.G', solint='inf', refant='3', minsnr=0.0)"
    forms = {
        f"{gains}; gaincal('w.ms', 'h.G', solint='60s', refant='3', minsnr=0.0, gaintable=['g.G'], interp={{}})": (
            "''", "[]", "['']", "'linear'", "['linear']",
        ),
        f"{gains}; applycal('w.ms', gaintable=['g.G', 'g.G'], interp={{}}, flagbackup=False)": (
            "''", "'linear'", "['', 'linear']", "['linear', '']",
        ),
        "tclean('w.ms', imagename='i', imsize={}, cell='30arcsec', niter=1)": ("32", "[32]", "[32, 32]"),
        "cvel('w.ms', 'v.ms', spw={})": ("''", "'*'"),
        "cvel('w.ms', 'v.ms', field={}, mode='channel', nchan=2, start=1)": ("''", "'*'"),
    }  # fmt: skip
    for code, values in forms.items():
        left = []
        for value in values:
            kernels.plain.run(fresh(small_ms).code)
            left.append(kernels.plain.run(code.format(value)).contents)
        assert all(contents == left[0] for contents in left)
        assert len(left[0]) > 1
