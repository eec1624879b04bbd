"""The command ``casaprov cache``: the store is shown, checked, kept in limits and emptied."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from casaprov.cli.commands import main
from casaprov.recompute.store.manifest import Manifest
from casaprov.recompute.store.results import Miss, Store
from stored_results import a_key, a_manifest, keep, write_tree


@pytest.fixture
def store() -> Store:
    """The store of the working folder, with two results."""
    store = Store(Path.cwd() / ".casaprov" / "store")
    for name in ("first", "second"):
        product = write_tree(Path.cwd() / name, **{"table.f1": name * 200})
        keep(store, {name: product}, a_manifest(name, task="split", notebook="n.ipynb"))
    return store


def run(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    capsys.readouterr()
    assert main(["cache", *arguments]) == code
    printed = capsys.readouterr()
    return " ".join((printed.out if code < 2 else printed.err).split())  # as wide as it may be


def test_info_shows_each_result(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    text = run(capsys, "info")
    assert "2 results in 2 files" in text
    assert "Limits: 100 GB, 90 days" in text
    assert a_key("first")[7:19] in text
    facts = json.loads(run(capsys, "info", "--json"))
    assert {result["entry"]["task"] for result in facts["results"]} == {"split"}
    assert facts["seconds"] == 20


def test_the_store_is_that_of_the_setting_or_of_the_option(
    store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CASAPROV_STORE", str(tmp_path))
    assert "no store" in run(capsys, "info", code=3)
    assert "2 results" in run(capsys, "info", "--store", str(store.folder.path))


def test_verify_drops_what_is_damaged(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert "all are whole" in run(capsys, "verify")
    found = store.lookup(a_key("first"))
    assert isinstance(found, Manifest)
    digest = next(found.files).digest
    assert digest is not None
    store.folder.object(digest).chmod(0o600)
    store.folder.object(digest).write_text("other")
    text = run(capsys, "verify", code=1)
    assert "does not hold the bytes" in text
    assert "The result of split (session/first) is damaged: a file of it is missing." in text
    assert "all are whole" in run(capsys, "verify")
    assert isinstance(store.lookup(a_key("second")), Manifest)


def test_gc_keeps_what_is_pinned(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert "stays in the store" in run(capsys, "pin", a_key("first")[7:15])
    assert "1 results and 1 files were dropped" in run(capsys, "gc", "--max-bytes", "1 kB")
    assert isinstance(store.lookup(a_key("first")), Manifest)
    assert "pinned" in run(capsys, "info")
    run(capsys, "pin", "session/first", "--off")
    run(capsys, "gc", "--max-bytes", "0")
    assert isinstance(store.lookup(a_key("first")), Miss)


def test_clear_drops_everything(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "pin", "first")
    assert "2 results and 2 files were dropped" in run(capsys, "clear")
    assert "0 results in 0 files" in run(capsys, "info")


def test_a_call_that_is_not_there_is_named(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no result of a call '99'" in run(capsys, "pin", "99", code=2)
    assert "is no size" in run(capsys, "gc", "--max-bytes", "much", code=2)
