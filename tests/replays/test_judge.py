"""The judge: a product against its record, and against the original where the crate ships it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

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
        facts = facts_of(digester.measure(original), derived=False)
        self.entity = Entity(id="listing", path="n.txt", generated_by=opened.document.activities[0].id, **facts)
        self.document = replace(opened.document, entities=(*opened.document.entities, self.entity))

    def tree(self, _entity: Entity) -> Path | None:
        return None

    def shipped(self, _entity: Entity) -> Path | None:
        return self.original if self.original.exists() else None


def judged(
    originals: Originals, digester: Digester, product: Path, work: Path, tolerance: Tolerance | None = None
) -> Comparison:
    with closing(ProductReaders(digester, (), confined=False)) as readers:
        judge = Judge(originals, readers.digester.measure, readers.compare, readers.same_listing, work, {})
        return judge.compare(originals.entity, product, tolerance or Tolerance())


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


class Image(Originals):
    """A crate with the tree of a FITS image, which it ships as long as the file is there."""

    def __init__(self, opened: OpenCrate, original: Path, digester: Digester) -> None:
        super().__init__(opened, original, digester)
        self._tree = original.with_suffix(".json")
        self._tree.write_text(json.dumps(digester.measure(original).tree))

    def tree(self, _entity: Entity) -> Path | None:
        return self._tree


def write_image(path: Path, pixels: np.ndarray[Any, Any]) -> Path:
    fits.PrimaryHDU(pixels.astype("float32")).writeto(path)
    return path


def test_an_original_that_is_there_is_compared_pixel_by_pixel(
    tmp_path: Path, opened: OpenCrate, digester: Digester
) -> None:
    rng = np.random.default_rng(1)
    pixels = rng.normal(size=(128, 128))
    image = Image(opened, write_image(tmp_path / "original.fits", pixels), digester)
    exchanged = pixels.copy()
    exchanged[64, 64], exchanged[0, 0] = pixels[0, 0], pixels[64, 64]
    changed = write_image(tmp_path / "exchanged.fits", exchanged)
    noisy = write_image(tmp_path / "noisy.fits", pixels * (1 + 1e-7 * rng.normal(size=pixels.shape)))
    tolerance = Tolerance(rtol=1e-6)

    found = judged(image, digester, changed, tmp_path, tolerance)
    assert (found.verdict, found.differences[0].cells) == ("differs", 2)
    found = judged(image, digester, noisy, tmp_path, tolerance)
    assert found.verdict == "within-tolerance"
    assert found.differences[0].cells is not None

    image.original.unlink()
    assert judged(image, digester, changed, tmp_path, tolerance).verdict == "differs"
    found = judged(image, digester, noisy, tmp_path, tolerance)
    assert found.verdict == "not-verifiable"
    assert "the original itself would decide" in found.note
    assert judged(image, digester, noisy, tmp_path, Tolerance(rtol=1e-5)).verdict == "within-tolerance"
