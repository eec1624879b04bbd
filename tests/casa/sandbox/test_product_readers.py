"""Readers of a replay's products may read no more than the calls that left the products."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from casacore.tables import makescacoldesc, maketabdesc, table

from casaprov.casa.sandbox.confine import landlock_version
from casaprov.casa.sandbox.product_readers import ProductReaders
from casaprov.comparison.products import Tolerance
from casaprov.digests.digester import Digester
from casaprov.errors import DigestError
from casaprov.readers.installed import open_digester

pytestmark = pytest.mark.skipif(not landlock_version(), reason="this kernel has no Landlock (Linux 5.13)")


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A work folder, beside files that a replayed call may not read."""
    (tmp_path / "secret").write_text("the password")
    write_table(tmp_path / "secret.tab")
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


@pytest.fixture
def plain() -> Iterator[Digester]:
    digester = open_digester()
    yield digester
    digester.close()


@pytest.fixture
def readers(plain: Digester, work: Path) -> Iterator[ProductReaders]:
    confined = ProductReaders(plain, [work], confined=True)
    yield confined
    confined.close()


def write_table(path: Path, sub_table: Path | None = None) -> Path:
    written = table(str(path), maketabdesc([makescacoldesc("X", 0)]), nrow=3, ack=False)
    if sub_table is not None:
        written.putkeyword("SUB", f"Table: {sub_table}")
    written.close()
    return path


@pytest.mark.parametrize("name", ["FLAG_VERSION_LIST", "any.txt"])
def test_a_link_below_a_product_leads_nobody_outside(readers: ProductReaders, work: Path, name: str) -> None:
    (work / "x.flagversions").mkdir()
    (work / "x.flagversions" / name).symlink_to(work.parent / "secret")
    with pytest.raises(DigestError, match=f"{name} cannot be read: Permission denied"):
        readers.digester.measure(work / "x.flagversions")


def test_a_folder_that_leads_outside_is_not_read(readers: ProductReaders, work: Path) -> None:
    (work / "folder").symlink_to(work.parent)
    with pytest.raises(DigestError):
        readers.digester.measure(work / "folder" / "secret")
    with pytest.raises(DigestError):
        readers.digester.measure(work / "folder" / "secret.tab")


def test_a_table_that_refers_to_one_outside_is_not_read(readers: ProductReaders, plain: Digester, work: Path) -> None:
    referring = write_table(work / "a.tab", sub_table=work.parent / "secret.tab")
    assert plain.measure(referring).content_digest
    with pytest.raises(DigestError, match=r"secret\.tab"):
        readers.digester.measure(referring)
    found = readers.compare(referring, referring, Tolerance())
    assert found.verdict == "not-verifiable"
    assert "secret.tab" in found.note


def test_links_and_references_within_the_work_folder_are_followed(
    readers: ProductReaders, plain: Digester, work: Path
) -> None:
    write_table(work / "b.tab")
    product = write_table(work / "a.tab", sub_table=work / "b.tab")
    (work / "c.tab").mkdir()
    for file in product.iterdir():
        (work / "c.tab" / file.name).symlink_to(file)
    for path in (product, work / "c.tab"):
        assert readers.digester.measure(path) == plain.measure(path)
    assert readers.compare(product, work / "c.tab", Tolerance()).verdict == "same-content"


def test_unconfined_readers_are_those_of_the_user(plain: Digester, work: Path) -> None:
    readers = ProductReaders(plain, [work], confined=False)
    (work / "link").symlink_to(work.parent / "secret")
    assert readers.digester.measure(work / "link").size_bytes == len("the password")
    readers.close()
    assert plain.measure(work.parent / "secret").size_bytes == len("the password")
