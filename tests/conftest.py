"""What all tests share: real data, CASA's data, interpreters that lack something, and a watch on litter."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from itertools import count
from pathlib import Path

import hypothesis
import pytest

from casaprov.casa.installed import data
from casaprov.casa.plots.appimages import PROGRAMS_VARIABLE
from checkout import ROOT
from examples import MORE, PROFILE
from live_kernel import LiveKernel, start_casa, start_plain
from made_once import made_once
from reductions import Reduction, reduce, reduction_in
from two_kernels import small_measurement_set

# Shared machines stall: a deadline would fail examples that are merely unlucky.
hypothesis.settings.register_profile("same", deadline=None, print_blob=True, derandomize=True)
hypothesis.settings.register_profile("random", deadline=None, print_blob=True, max_examples=100 * MORE)
hypothesis.settings.load_profile(PROFILE)


_NUMBERS = count()


@pytest.fixture(scope="session", autouse=True)
def _own_caches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep tests out of the user's caches and histories; children inherit this."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("IPYTHONDIR", str(tmp_path_factory.mktemp("ipython")))
        # How much is digested must not depend on the speed of the machine.
        patch.setenv("CASAPROV_PATIENCE", "always")
        yield


@pytest.fixture(autouse=True)
def _own_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Start every test in an empty folder, where CASA may leave its logs, and come back from wherever it went."""
    before = Path.cwd()
    # A name of its own: a numbered folder costs a look at all that there are, for each of thousands of tests.
    folder = tmp_path_factory.getbasetemp() / f"cwd-{next(_NUMBERS)}"
    folder.mkdir()
    os.chdir(folder)
    yield
    os.chdir(before)


@pytest.fixture(scope="module", autouse=True)
def _nothing_dirtied() -> Iterator[None]:
    """Prove that the tests of a module leave the checkout as it was.

    Only where ``CASAPROV_WATCH_CHECKOUT`` is set, as ``make test`` does: whoever
    edits while tests run would be taken for a test.
    """
    watching = "CASAPROV_WATCH_CHECKOUT" in os.environ and (ROOT / ".git").exists()
    before = _checkout() if watching else ""
    yield
    assert not watching or _checkout() == before, "a test changed the checkout, or somebody edited it meanwhile"


def _checkout() -> str:
    command = ["git", "-C", str(ROOT), "status", "--porcelain", "--untracked-files=all"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="session")
def observations() -> Path:
    """Folder of the real observations; read-only."""
    default = ROOT.parent / "shared" / "data" / "observations"
    folder = Path(os.environ.get("CASAPROV_TEST_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no real observations in {folder}: set CASAPROV_TEST_DATA to the folder that holds them")
    return folder


@pytest.fixture(scope="session")
def casadata_path() -> Path:
    """Folder of CASA's own data from the package casadata; read-only."""
    path = data.casadata_path()
    if path is None:
        pytest.skip("CASA's data are not installed: pip install casadata")
    return path


@pytest.fixture(scope="session")
def ngc5921_fits(casadata_path: Path) -> Path:
    """The VLA observation of NGC 5921 in H I, the project's example; read-only."""
    return casadata_path / "demo" / "NGC5921.fits"


@pytest.fixture(scope="session")
def casa_site_config(casadata_path: Path, _own_caches: None) -> data.DataSource:
    """Set the environment so that CASA finds its data, here and in children."""
    return data.prepare()


@pytest.fixture(scope="session")
def small_ms(casa_site_config: object, ngc5921_fits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A MeasurementSet of 84 rows; read-only."""
    made = made_once(tmp_path_factory, "small-ms", lambda folder: small_measurement_set(folder, ngc5921_fits))
    return made / "w.ms"


@pytest.fixture(scope="session")
def unpacked_programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Folder that programs which draw are unpacked into; it goes when the tests are done, for they are large."""
    folder = tmp_path_factory.mktemp("programs")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def gui(unpacked_programs: Path) -> Iterator[None]:
    """See that plotms and imview can draw, on a screen of their own."""
    for package in ("casaplotms", "casaviewer"):
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed: pip install -e '.[gui]'")
    if shutil.which("Xvfb") is None:
        pytest.skip("there is no Xvfb: apt-get install xvfb")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(PROGRAMS_VARIABLE, str(unpacked_programs))
        patch.delenv("DISPLAY", raising=False)
        yield


@pytest.fixture
def python_without(tmp_path: Path) -> Callable[..., Path]:
    """Make a real virtual environment that lacks the named distributions and has all others.

    ``python_without("casadata")`` returns the path of its Python.
    """

    def make(*lacking: str) -> Path:
        folder = tmp_path / "-".join(("without", *lacking))
        venv.create(folder, with_pip=False, symlinks=True)
        python = folder / "bin" / "python"
        site = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
        gone = {name.replace("-", "_") for name in lacking}
        for entry in Path(sysconfig.get_path("purelib")).iterdir():
            if entry.name.partition("-")[0].partition(".")[0] not in gone:
                (site / entry.name).symlink_to(entry)
        (site / "checkout-of-casaprov.pth").write_text(f"{ROOT}\n")
        return python

    assert sys.prefix != sys.base_prefix, "tests run in a virtual environment"
    return make


@pytest.fixture(scope="session")
def reduction(
    casa_site_config: data.DataSource, ngc5921_fits: Path, tmp_path_factory: pytest.TempPathFactory
) -> Reduction:
    """A small real reduction of NGC 5921, run once; read-only."""
    return reduction_in(made_once(tmp_path_factory, "reduction", lambda folder: reduce(folder, ngc5921_fits)))


@pytest.fixture(scope="session")
def plain_kernel(casa_site_config: data.DataSource, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveKernel]:
    """A plain kernel that has imported casatasks; leave it without casaprov."""
    kernel = start_plain(tmp_path_factory.mktemp("plain-kernel"))
    yield kernel
    kernel.close()


@pytest.fixture(scope="session")
def casa_kernel(casa_site_config: data.DataSource, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveKernel]:
    """The CASA kernel, of a user whose home folder is empty; leave no variables behind."""
    kernel = start_casa(tmp_path_factory.mktemp("casa-kernel"), tmp_path_factory.mktemp("casa-home"))
    yield kernel
    kernel.close()


@pytest.fixture
def whole_seconds(tmp_path: Path) -> Iterator[Path]:
    """A file system that keeps times in seconds."""
    image, folder = tmp_path / "image", tmp_path / "mounted"
    folder.mkdir()
    make = shutil.which("mkfs.ext4", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if make is None or os.geteuid() != 0:
        pytest.skip("to make and mount a file system takes e2fsprogs and root")
    image.write_bytes(bytes(8 * 2**20))
    subprocess.run([make, "-q", "-I", "128", str(image)], check=True, capture_output=True)
    mounted = subprocess.run(["mount", "-o", "loop", str(image), str(folder)], check=False, capture_output=True)
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder of a file system in memory."""
    if not os.access("/dev/shm", os.W_OK):
        pytest.skip("/dev/shm is not there, or may not be written")
    folder = Path("/dev/shm", f"casaprov-test-{os.getpid()}")
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
