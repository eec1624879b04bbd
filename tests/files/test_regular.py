"""Pipes, sockets and devices are never opened: whatever waits for them would wait for ever."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from casacore import tables as casacore

from casaprov.casa.sandbox.product_readers import ProductReaders
from casaprov.cli.commands import main
from casaprov.comparison.products import Tolerance, compare_paths
from casaprov.config import Config
from casaprov.crate import open_crate
from casaprov.digests.measurement import measure
from casaprov.errors import CrateError, DigestError, InputMissing, UsageError
from casaprov.files.regular import open_regular, refuse_special, special_kind
from casaprov.files.stamps import is_self_contained, stamp
from casaprov.readers.installed import fits_reader, open_digester, table_reader
from casaprov.records.model import Entity, Locator
from casaprov.replays.inputs import InputFinder
from casaprov.replays.judge import Judge
from sample_records import make_reduction, pack_reduction

pytestmark = pytest.mark.timeout(60)  # they wait for ever where something is broken


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    with inside(path.parent), socket.socket(socket.AF_UNIX) as bound:
        bound.bind(path.name)


def _link_to_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


@contextmanager
def inside(folder: Path) -> Iterator[None]:
    """A socket's name may have a hundred characters: it is made where it lies."""
    before = Path.cwd()
    os.chdir(folder)
    yield
    os.chdir(before)


special = pytest.mark.parametrize(
    ("make", "kind"), [(_pipe, "a pipe"), (_socket, "a socket"), (_link_to_device, "a device")]
)
Make = Callable[[Path], None]


def table(path: Path) -> Path:
    with casacore.table(
        str(path), casacore.maketabdesc([casacore.makescacoldesc("TIME", 0.0)]), nrow=3, ack=False
    ) as made:
        made.putcol("TIME", [1.0, 2.0, 3.0])
    return path


def digest(path: Path) -> str:
    return measure(path, table_reader, fits_reader).content_digest


@special
def test_it_is_no_content_alone_or_in_a_folder(tmp_path: Path, make: Make, kind: str) -> None:
    (tmp_path / "product").mkdir()
    (tmp_path / "product" / "a.txt").write_text("a")
    make(tmp_path / "product" / "b")
    for path in (tmp_path / "product", tmp_path / "product" / "b"):
        with pytest.raises(DigestError, match=f"product/b is {kind}"):
            digest(path)
    assert special_kind(tmp_path / "product") == special_kind(tmp_path / "nothing") == ""


@special
def test_it_is_no_file_of_a_table(tmp_path: Path, make: Make, kind: str) -> None:
    path = table(tmp_path / "a.tab")
    (path / "table.f0").unlink()
    make(path / "table.f0")
    with pytest.raises(DigestError, match=rf"a\.tab/table\.f0 is {kind}"):
        digest(path)


DEEP = """
import os, resource, sys
from pathlib import Path
from casaprov.files.regular import refuse_special
folder = table = Path(sys.argv[1])
for _ in range(200):
    folder = folder / "f"
folder.mkdir(parents=True)
os.mkfifo(folder / "pipe")
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
refuse_special(table)
"""


def test_it_is_found_however_deep_it_lies(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", DEEP, tmp_path / "x"], capture_output=True, text=True, check=False)
    assert "DigestError" in done.stderr
    assert "pipe is a pipe" in done.stderr


def test_it_is_no_file_of_a_sub_table_wherever_that_lies(tmp_path: Path) -> None:
    path, other = table(tmp_path / "a.tab"), table(tmp_path / "elsewhere.tab")
    with casacore.table(str(path), readonly=False, ack=False) as opened:
        opened.putkeyword("ANTENNA", f"Table: {other}")
    before = digest(path)
    assert before == digest(path)
    (other / "table.f0").unlink()
    _pipe(other / "table.f0")
    with pytest.raises(DigestError, match=r"elsewhere\.tab/table\.f0 is a pipe"):
        digest(path)


def _selection(folder: Path, name: str) -> Path:
    with casacore.table(str(folder / "base.tab"), ack=False) as opened:
        opened.query("TIME > 1.5", name=str(folder / name)).close()
    return folder / name


def _concatenation(folder: Path, name: str) -> Path:
    bases = [str(folder / "other.tab"), str(folder / "base.tab")]
    with casacore.table(bases, ack=False) as opened:
        opened.rename(str(folder / name))
    return folder / name


@pytest.mark.parametrize("make", [_selection, _concatenation])
@pytest.mark.parametrize("name", ["beside.tab", "base.tab/inside.tab", "deeper/below.tab"])
def test_it_is_no_file_of_a_table_that_holds_the_rows_of_another(
    tmp_path: Path, make: Callable[[Path, str], Path], name: str
) -> None:
    (tmp_path / "deeper").mkdir()
    base, _ = table(tmp_path / "base.tab"), table(tmp_path / "other.tab")
    path = make(tmp_path, name)
    assert digest(path)
    (base / "table.f0").unlink()
    _pipe(base / "table.f0")
    with pytest.raises(DigestError, match=r"base\.tab/table\.f0 is a pipe"):
        digest(path)


def test_tables_that_refer_to_each_other_are_looked_at_once(tmp_path: Path) -> None:
    table(tmp_path / "base.tab")
    path = _selection(tmp_path, "base.tab/inside.tab")
    (path / "back").symlink_to(tmp_path / "base.tab")
    refuse_special(path)
    assert digest(path)


@special
def test_it_cannot_be_compared(tmp_path: Path, make: Make, kind: str) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        make(tmp_path / name / "x")
    for left, right in (("a/x", "b/x"), ("a", "b")):
        with pytest.raises(UsageError, match=f"x is {kind}"):
            compare_paths(tmp_path / left, tmp_path / right, reader=table_reader, fits=fits_reader)


@special
def test_it_is_no_crate(tmp_path: Path, capsys: pytest.CaptureFixture[str], make: Make, kind: str) -> None:
    make(tmp_path / "x.zip")
    for command in ("validate", "inspect", "replay"):
        assert main([command, str(tmp_path / "x.zip")]) == 2
        assert f"is {kind}" in " ".join(capsys.readouterr().err.split())


def test_it_is_nothing_in_the_folder_of_a_crate(tmp_path: Path) -> None:
    crate = pack_reduction(make_reduction(tmp_path / "nb"), tmp_path / "x.zip").path
    folder = open_crate(crate, tmp_path / "unpacked").folder
    (folder / "records" / "crate.json").unlink()
    _pipe(folder / "records" / "crate.json")
    with pytest.raises(CrateError, match=r"crate\.json"):
        open_crate(folder, folder, verify=False)


def test_no_locator_leads_to_it(tmp_path: Path) -> None:
    _pipe(tmp_path / "n.fits")
    entity = Entity(
        id="e",
        path="n.fits",
        kind="FITS",
        content_digest=None,
        size_bytes=0,
        locators=(Locator(scheme="file", value=str(tmp_path / "n.fits")), Locator(scheme="file", value="/dev/zero")),
    )
    finder = InputFinder(
        resolvers={"file": Path},
        folders=[tmp_path],
        measure=lambda path, tier="full": measure(path, table_reader, fits_reader, tier=tier),
        shipped=lambda _entity: None,
    )
    with pytest.raises(InputMissing):
        finder.find(Entity(**{**vars(entity), "content_digest": "sha256:" + "0" * 64}))


def test_what_cannot_be_read_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.txt").write_text("one\n")
    for names in (("a.txt", "/proc/self/mem"), ("/proc/self/mem", "a.txt")):
        assert main(["compare", *(str(tmp_path / name) for name in names)]) == 2
        assert capsys.readouterr().err == "Error: /proc/self/mem cannot be read: Input/output error.\n"


def test_a_selection_from_a_table_called_plain_is_none(tmp_path: Path) -> None:
    table(tmp_path / "base.tab").rename(tmp_path / "PlainTable")
    with casacore.table(str(tmp_path / "PlainTable"), ack=False) as opened:
        opened.query("TIME > 1.5", name=str(tmp_path / "part")).close()
    assert is_self_contained(tmp_path / "PlainTable", stamp(tmp_path / "PlainTable"))
    assert not is_self_contained(tmp_path / "part", stamp(tmp_path / "part"))
    (tmp_path / "PlainTable" / "table.f0").unlink()
    _pipe(tmp_path / "PlainTable" / "table.f0")
    with pytest.raises(DigestError, match="is a pipe"):
        digest(tmp_path / "part")


def test_a_product_in_whose_place_it_is_cannot_be_verified(tmp_path: Path) -> None:
    crate = pack_reduction(make_reduction(tmp_path / "nb"), tmp_path / "x.zip").path
    opened = open_crate(crate, tmp_path / "unpacked")
    _pipe(tmp_path / "mom0.fits")
    entity = next(entity for entity in opened.document.entities if entity.path == "mom0.fits")
    with (
        closing(open_digester(Config(workers=1))) as digester,
        closing(ProductReaders(digester, (), confined=False)) as readers,
    ):
        judge = Judge(opened, readers.digester.measure, readers.compare, readers.same_listing, tmp_path, {})
        found = judge.compare(entity, tmp_path / "mom0.fits", Tolerance())
    assert found.verdict == "not-verifiable"
    assert "mom0.fits is a pipe" in found.note


def test_a_file_is_read_as_it_is(tmp_path: Path) -> None:
    data = bytes(range(256)) * 5000
    (tmp_path / "a").write_bytes(data)
    with open_regular(tmp_path / "a") as stream:
        assert stream.read(9) + stream.read() == data
    with pytest.raises(IsADirectoryError, match=str(tmp_path)):
        open_regular(tmp_path)
    with pytest.raises(FileNotFoundError):
        open_regular(tmp_path / "nothing")
