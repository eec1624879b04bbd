"""Readers end when a file makes them use up memory or time, or crash, and the file is named."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from casaprov.casa.sandbox.product_readers import ProductReaders
from casaprov.comparison.products import Tolerance
from casaprov.digests.digester import Digester
from casaprov.errors import DigestError, LimitReached, UsageError, WorkerDied
from casaprov.readers.installed import open_digester
from casaprov.readers.products import compare_products
from checkout import ROOT, SUPPORT

MODULE = "hungry_reader"
ENVIRONMENT = {"PYTHONPATH": os.pathsep.join([str(SUPPORT), str(ROOT)])}
EXPECTED = {
    "aborts": r"ended by signal 6 \(SIGABRT\).*AipsError",
    "grows": "the limit memory is 300 MB",
    "spins": "the limit cpu is 1 s",
}


@pytest.fixture
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CASAPROV_READER_LIMITS", "memory=300MB, cpu=1s")


@pytest.fixture
def digester(small_limits: None) -> Iterator[Digester]:
    with closing(open_digester(module=MODULE, environment=ENVIRONMENT)) as opened:
        yield opened


@pytest.mark.parametrize("name", EXPECTED)
def test_a_file_that_its_reader_does_not_survive_is_named(digester: Digester, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("x")
    with pytest.raises(DigestError, match=rf"(?s){name} cannot be read: .*{EXPECTED[name]}") as caught:
        digester.measure(tmp_path / name)
    assert name == "aborts" or "reader_limits" in caught.value.hint


def test_products_that_cannot_be_compared_are_named(small_limits: None, tmp_path: Path) -> None:
    for name, kind in (("aborts", WorkerDied), ("spins", LimitReached)):
        with pytest.raises(kind, match=rf"(?s){name} and .*b cannot be compared: .*{EXPECTED[name]}"):
            compare_products(tmp_path / name, tmp_path / "b", module=MODULE, environment=ENVIRONMENT)


def test_a_replay_goes_on_without_a_verdict(
    digester: Digester, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("casaprov.casa.sandbox.product_readers.WORKER_MODULE", MODULE)
    monkeypatch.setenv("PYTHONPATH", ENVIRONMENT["PYTHONPATH"])
    with closing(ProductReaders(digester, [tmp_path], confined=False)) as readers:
        found = readers.compare(tmp_path / "a", tmp_path / "aborts", Tolerance())
        assert found.verdict == "not-verifiable"
        assert "SIGABRT" in found.note
        now = datetime.now(UTC)
        assert not readers.same_listing(tmp_path / "aborts", now, tmp_path / "b", now, {})


def test_a_wrong_limit_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CASAPROV_READER_LIMITS", "speed=3")
    with pytest.raises(UsageError, match="no limit 'speed'"):
        open_digester()
