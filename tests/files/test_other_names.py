"""A folder has one name, whichever way leads to it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from casaprov.files.other_names import OtherNames


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "work" / "sub" / "deep").mkdir(parents=True)
    (tmp_path / "archive" / "deep").mkdir(parents=True)
    return tmp_path / "work"


@contextmanager
def bound(folder: Path, name: Path) -> Iterator[None]:
    name.mkdir()
    if subprocess.run(["mount", "--bind", folder, name], check=False, capture_output=True).returncode:
        pytest.skip("only the superuser may mount a folder under a second name")
    try:
        yield
    finally:
        subprocess.run(["umount", name], check=True)


def test_a_link_inside_leads_to_the_folder_itself(folder: Path) -> None:
    (folder / "link").symlink_to("sub")
    names = OtherNames(folder)
    assert names.below(folder / "link" / "deep" / "x.ms") == folder / "sub" / "deep" / "x.ms"
    assert names.aliases([folder / "link" / "deep" / "x.ms"]) == {folder / "link": folder / "sub"}
    # The last part is a name of its own.
    assert names.below(folder / "link") == folder / "link"
    assert names.aliases([folder / "link", folder / "sub" / "x.ms"]) == {}


def test_a_folder_that_lies_elsewhere_keeps_the_name_by_which_it_came(folder: Path, tmp_path: Path) -> None:
    (folder / "data").symlink_to(tmp_path / "archive")
    names = OtherNames(folder)
    assert names.below(folder / "data" / "x.fits") == folder / "data" / "x.fits"
    assert names.below(tmp_path / "archive" / "deep" / "y.fits") == folder / "data" / "deep" / "y.fits"
    assert names.aliases([tmp_path / "archive" / "x.fits"]) == {tmp_path / "archive": folder / "data"}
    # Of an earlier session the other name is known.
    again = OtherNames(folder, [tmp_path / "archive" / "x.fits"])
    assert again.below(folder / "data" / "x.fits") == tmp_path / "archive" / "x.fits"


def test_a_bind_mount_of_a_part_is_that_part(folder: Path, tmp_path: Path) -> None:
    with bound(folder / "sub", tmp_path / "mounted here"):
        names = OtherNames(folder)
        assert names.below(tmp_path / "mounted here" / "deep" / "x.ms") == folder / "sub" / "deep" / "x.ms"


def test_a_folder_whose_own_name_has_a_link_in_it(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "way").symlink_to("work")
    names = OtherNames(tmp_path / "way")
    assert names.below(tmp_path / "way" / "sub" / "x.ms") == tmp_path / "way" / "sub" / "x.ms"
    assert names.below(folder / "sub" / "x.ms") == tmp_path / "way" / "sub" / "x.ms"
    assert names.below(folder / "no such" / "x.ms") == tmp_path / "way" / "no such" / "x.ms"
    assert names.of_folder(folder) == tmp_path / "way"


def test_what_lies_nowhere_has_its_name(folder: Path, tmp_path: Path) -> None:
    names = OtherNames(folder)
    for path in (Path("/"), Path("/no such/x"), tmp_path, folder, tmp_path / "a\0b" / "x"):
        assert names.below(path) == path
