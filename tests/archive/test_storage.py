"""Kept files: byte for byte, valid by OCFL, and whole after a kill at any step."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from casaprov.archive import storage as storage_module
from casaprov.archive.storage import Storage, StorageError

DID = "ivo://jive.eu/~?crate/N14C3-0001/v1"


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(tmp_path / "ocfl", tmp_path / "scratch")


def test_a_file_is_kept_byte_for_byte_and_a_later_version_beside_it(storage: Storage, tmp_path: Path) -> None:
    (tmp_path / "in.zip").write_bytes(b"zip")
    storage.keep(DID, {"crate.zip": tmp_path / "in.zip", "deposit.json": b"{}"}, "deposited")
    storage.keep(DID, {"report.json": b"1"}, "replayed")
    storage.keep(DID, {"report.json": b"2"}, "replayed again")
    assert storage.path(DID, "crate.zip").read_bytes() == b"zip"
    assert storage.path(DID, "report.json").read_bytes() == b"2"
    assert storage.names(DID) == ("crate.zip", "deposit.json", "report.json")
    assert storage.validate() == []


def test_keeping_the_same_again_adds_no_version(storage: Storage) -> None:
    storage.keep(DID, {"crate.zip": b"zip"}, "deposited")
    storage.keep(DID, {"crate.zip": b"zip"}, "deposited")
    assert [path.name for path in storage.path(DID, "crate.zip").parents[1].parent.glob("v*")] == ["v1"]


def test_a_file_that_is_not_kept_is_said_to_be_missing_without_a_path(storage: Storage) -> None:
    with pytest.raises(StorageError) as caught:
        storage.path(DID, "crate.zip")
    assert str(storage.root) not in str(caught.value)


class Killed(BaseException):
    """Stands for SIGKILL: nothing is cleaned up after it."""


@pytest.mark.parametrize("step", range(40))
def test_a_kill_at_any_step_leaves_an_object_that_is_mended(
    step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each rename and fsync is a step; the process ends before it."""
    storage = Storage(tmp_path / "ocfl", tmp_path / "scratch")
    storage.keep(DID, {"crate.zip": b"zip"}, "deposited")
    left = step

    def counted(act: object, *, waits: bool = False) -> object:
        def call(*arguments: object) -> object:
            nonlocal left
            if left == 0:
                raise Killed
            left -= 1
            return None if waits else act(*arguments)  # type: ignore[operator]

        return call

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", counted(Path.rename))
        patch.setattr(storage_module, "fsync_folder", counted(storage_module.fsync_folder, waits=True))
        patch.setattr(os, "fsync", counted(os.fsync, waits=True))
        patch.setattr(shutil, "rmtree", lambda *_, **__: None)
        try:
            storage.keep(DID, {"report.json": b"1"}, "replayed")
            storage.keep("another", {"crate.zip": b"other"}, "deposited")
        except Killed:
            pass
    again = Storage(tmp_path / "ocfl", tmp_path / "scratch")
    again.repair()
    assert again.validate() == []
    assert again.path(DID, "crate.zip").read_bytes() == b"zip"
    again.keep(DID, {"report.json": b"1"}, "replayed")
    again.keep("another", {"crate.zip": b"other"}, "deposited")
    assert again.validate() == []
    assert again.path(DID, "report.json").read_bytes() == b"1"
    assert [path.suffix for path in (tmp_path / "scratch").iterdir()] == [".lock"] * len(
        list((tmp_path / "scratch").iterdir())
    )
