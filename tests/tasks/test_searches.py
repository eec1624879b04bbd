"""Patterns are searched as glob does, and each folder is listed once."""

from __future__ import annotations

import glob
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casaprov.files.stamps import settle
from casaprov.tasks.searches import Listings, search
from casaprov.tasks.specs import load_specs

NAMES = ["n.image", "n.image.tt0", "n.image.tt1", "n_1.image", "n.psf", ".n.image", "m.image", "a[1].image"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("searched")
    for name in NAMES:
        (made / name).write_text("")
        (made / "sub").mkdir(exist_ok=True)
        (made / "sub" / name).write_text("")
    return made


@given(st.lists(st.text("n.imagetps_*?[]10/", min_size=1, max_size=8), min_size=1, max_size=4))
def test_it_finds_what_glob_finds(folder: Path, texts: list[str]) -> None:
    patterns = [os.path.normpath(f"{folder}/{text.strip('/') or 'n*'}") for text in texts]
    found = search(patterns, Listings())
    assert found == {pattern: sorted(glob.glob(pattern)) for pattern in patterns}  # noqa: PTH207


def test_of_all_images_of_a_task_the_folder_is_listed_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = []
    names = Listings.names

    def noted(listings: Listings, place: str) -> list[str]:
        listed.append(listings)
        return names(listings, place)

    monkeypatch.setattr(Listings, "names", noted)
    outputs = load_specs()["tclean"].outputs({"vis": "n.ms", "imagename": "n"}, folder)
    assert [use.path.name for use in outputs] == ["n.image", "n.image.tt0", "n.image.tt1", "n.psf"]
    assert len(set(listed)) == 1


def test_the_names_in_a_large_folder_are_kept_until_one_is_added(tmp_path: Path) -> None:
    for number in range(600):
        (tmp_path / f"{number}.html").touch()
    settle(tmp_path)
    patterns = [f"{tmp_path}/x.*", f"{tmp_path}/59?.html"]
    first = search(patterns, Listings())
    assert (first[patterns[0]], len(first[patterns[1]])) == ([], 10)
    for name in ("x.a", "x.b"):
        (tmp_path / name).touch()
        assert search(patterns, Listings())[patterns[0]][-1] == f"{tmp_path}/{name}"
    (tmp_path / "x.a").unlink()
    assert search(patterns, Listings())[patterns[0]] == [f"{tmp_path}/x.b"]
