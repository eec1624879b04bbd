"""The judge: a product against its record, and against the original where the crate ships it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from casaprov.casa.sandbox.product_readers import ProductReaders
from casaprov.comparison.products import Comparison, Tolerance
from casaprov.config import Config
from casaprov.crate import OpenCrate, open_crate
from casaprov.digests.digester import Digester
from casaprov.digests.measurement import facts_of
from casaprov.readers.installed import open_digester
from casaprov.records.model import Entity
from casaprov.replays.judge import Judge
from sample_records import make_reduction, pack_reduction


@pytest.fixture(scope="module")
def digester() -> Iterator[Digester]:
    with closing(open_digester(Config(workers=1))) as digester:
        yield digester


@pytest.fixture
def opened(tmp_path: Path) -> OpenCrate:
    crate = pack_reduction(make_reduction(tmp_path / "nb"), tmp_path / "x.zip").path
    return open_crate(crate, tmp_path / "unpacked")


class Originals:
    """A crate that ships one text, as the product of its first call."""

    def __init__(self, opened: OpenCrate, original: Path, digester: Digester) -> None:
        self.original = original
        facts = facts_of(digester.measure(original))
        self.entity = Entity(id="listing", path="n.txt", generated_by=opened.document.activities[0].id, **facts)
        self.document = replace(opened.document, entities=(*opened.document.entities, self.entity))

    def tree(self, _entity: Entity) -> Path | None:
        return None

    def shipped(self, _entity: Entity) -> Path | None:
        return self.original if self.original.exists() else None


def judged(originals: Originals, digester: Digester, product: Path, work: Path) -> Comparison:
    readers = ProductReaders(digester, (), confined=False)
    judge = Judge(originals, readers.digester.measure, readers.compare, work, {})
    return judge.compare(originals.entity, product, Tolerance())


def test_a_product_like_its_record_is_verified_without_the_original(
    tmp_path: Path, opened: OpenCrate, digester: Digester
) -> None:
    (tmp_path / "original.txt").write_text("12 scans\n")
    originals = Originals(opened, tmp_path / "original.txt", digester)
    (tmp_path / "original.txt").rename(tmp_path / "n.txt")
    assert judged(originals, digester, tmp_path / "n.txt", tmp_path).verdict == "identical"


def test_a_listing_may_name_other_folders(tmp_path: Path, opened: OpenCrate, digester: Digester) -> None:
    recorded = opened.document.sessions[0].folder
    (tmp_path / "original.txt").write_text(f"MeasurementSet Name:  {recorded}/n.ms  MS Version 2\n")
    originals = Originals(opened, tmp_path / "original.txt", digester)
    product = tmp_path / "n.txt"
    product.write_text(f"MeasurementSet Name:  {tmp_path}/n.ms  MS Version 2\n")
    found = judged(originals, digester, product, tmp_path)
    assert found.verdict == "same-content"
    assert "the same text" in found.note
    product.write_text(f"MeasurementSet Name:  {tmp_path}/other.ms  MS Version 2\n")
    assert judged(originals, digester, product, tmp_path).verdict == "differs"


def test_a_product_that_differs_is_compared_with_its_record_if_there_is_nothing_else(
    tmp_path: Path, opened: OpenCrate, digester: Digester
) -> None:
    (tmp_path / "original.txt").write_text("12 scans\n")
    originals = Originals(opened, tmp_path / "original.txt", digester)
    (tmp_path / "original.txt").unlink()
    (tmp_path / "n.txt").write_text("13 scans\n")
    found = judged(originals, digester, tmp_path / "n.txt", tmp_path)
    assert found.verdict == "differs"
    assert found.differences
