"""Tables that somebody made to do harm when they are read: refused by name, and not opened."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from casaprov.cli.commands import main
from casaprov.config import Config
from casaprov.confinement.kernel_rules import landlock_version
from casaprov.errors import DigestError, UsageError
from casaprov.readers.installed import open_digester
from casaprov.readers.products import compare_products
from hostile_tables import claiming, forwarding, loading, plain, replacing

OPEN = "import sys; from casacore.tables import table; table(sys.argv[1], ack=False)"

MAKE: dict[str, tuple[Callable[[Path, Path], Path], str]] = {
    "evaluates": (replacing, "VirtualTaQLColumn evaluates an expression"),
    "forwards": (forwarding, "ForwardColumnEngine reads from another table"),
    "loads": (lambda path, _: loading(path), "'/evilevilevil' would be loaded from a library"),
}


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    return plain(tmp_path / "precious.ms", rows=7)


def content(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.iterdir()}


@pytest.mark.parametrize("kind", MAKE)
def test_they_are_refused_by_name_and_nothing_else_is_touched(
    tmp_path: Path, precious: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    make, problem = MAKE[kind]
    hostile, before = make(tmp_path / "hostile.tab", precious), content(precious)
    assert main(["digest", str(hostile)]) == 3
    assert problem in " ".join(capsys.readouterr().err.split())
    with pytest.raises((UsageError, DigestError), match=problem):
        compare_products(precious, hostile)
    assert content(precious) == before


def test_a_small_table_that_claims_to_be_huge_is_refused(
    tmp_path: Path, precious: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hostile = claiming(tmp_path / "hostile.tab", 4_000_000_000)
    assert main(["digest", str(hostile)]) == 3
    assert "hostile.tab claims to have 4000000000 rows" in " ".join(capsys.readouterr().err.split())
    with pytest.raises((UsageError, DigestError), match="claims to have"):
        compare_products(precious, hostile)


def test_a_selection_from_one_is_refused_as_well(tmp_path: Path, precious: Path) -> None:
    part = tmp_path / "part"
    make_selection = "t = table(sys.argv[1], ack=False); t.query('X == 0', name=sys.argv[2]).close()"
    code = f"import sys; from casacore.tables import table; {make_selection}"
    hostile = forwarding(tmp_path / "hostile.tab", precious)
    subprocess.run([sys.executable, "-c", code, str(hostile), str(part)], check=True)
    digester = open_digester(Config(workers=1))
    try:
        with pytest.raises(DigestError, match=r"hostile\.tab is not opened: its storage manager ForwardColumnEngine"):
            digester.measure(part)
    finally:
        digester.close()


def test_the_samples_are_what_they_are_said_to_be(
    tmp_path: Path, precious: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = content(precious)
    subprocess.run([sys.executable, "-c", OPEN, str(replacing(tmp_path / "a.tab", precious))], check=False)
    assert content(precious) != before
    monkeypatch.chdir(tmp_path)
    Path("lib").mkdir()
    Path("lib/evilevilevil.so").write_bytes(b"no library")
    command = [sys.executable, "-c", OPEN, str(loading(tmp_path / "b.tab"))]
    tried = subprocess.run(command, check=False, capture_output=True, text=True)
    assert "file too short" in tried.stderr or "invalid ELF header" in tried.stderr


@pytest.mark.skipif(not landlock_version(), reason="this kernel has no Landlock (Linux 5.13)")
def test_a_table_that_no_check_knows_harms_nothing(
    tmp_path: Path, precious: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The check of names is one fence, the confinement of the readers is another.
    (tmp_path / "sitecustomize.py").write_text(
        "import casaprov.formats.storage_managers as s; s._EVALUATING.clear(); s._KNOWN |= {'VirtualTaQLColumn'}\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    hostile, before = replacing(tmp_path / "hostile.tab", precious), content(precious)
    with pytest.raises((UsageError, DigestError), match="cannot be opened as a table"):
        compare_products(hostile, hostile)
    assert content(precious) == before
