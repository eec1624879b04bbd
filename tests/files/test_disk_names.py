"""Names on disks that do not tell capitals, or two spellings of an accent, apart."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from casaprov.files.disk_names import as_listed, clashes, folded

E_ACUTE, TWO_SIGNS = "\u00e9.im", "e\u0301.im"


class Disk:
    """A disk that takes some spellings for one; paths are below ``/d``."""

    def __init__(self, *present: str) -> None:
        self._present = present

    def names(self, folder: Path) -> list[str]:
        top = folder.relative_to("/d").parts
        return [Path(p).parts[len(top)] for p in self._present if len(Path(p).parts) > len(top)]

    def same(self, one: Path, other: Path) -> bool:
        there = {folded(str(above)) for p in self._present for above in (Path("/d", p), *Path("/d", p).parents)}
        return folded(str(one)) == folded(str(other)) and folded(str(one)) in there

    def listed(self, name: str) -> str:
        found = as_listed(Path("/d", name), Path("/d"), same=self.same, names=self.names)
        return found.relative_to("/d").as_posix()


def test_a_name_is_spelt_as_the_disk_lists_it() -> None:
    disk = Disk("N.ms", "Sub/Cal.g", TWO_SIGNS)
    assert disk.listed("n.MS") == disk.listed("N.ms") == "N.ms"
    assert disk.listed("sub/cal.G") == "Sub/Cal.g"
    assert disk.listed(E_ACUTE) == TWO_SIGNS
    assert disk.listed("new.ms") == "new.ms"
    assert disk.listed("sub/new.ms") == "Sub/new.ms"


def test_where_the_disk_tells_them_apart_nothing_changes(tmp_path: Path) -> None:
    (tmp_path / "n.ms").mkdir()
    for name in ("n.ms", "N.MS", "new"):
        assert as_listed(tmp_path / name, tmp_path) == tmp_path / name
    assert as_listed(Path("/elsewhere/N.ms"), tmp_path) == Path("/elsewhere/N.ms")


@pytest.mark.parametrize(
    ("paths", "found"),
    [
        (["a.im", "b.im", "A.im"], (("a.im", "A.im"),)),
        (["run/x", "Run/y", "run/z"], (("run", "Run"),)),
        ([E_ACUTE, TWO_SIGNS], ((E_ACUTE, TWO_SIGNS),)),
        (["a/b", "b/a", "ab"], ()),
        (["a", "a"], ()),
    ],
)
def test_names_that_clash_elsewhere_are_found(paths: list[str], found: tuple[tuple[str, str], ...]) -> None:
    assert clashes(paths) == found


def test_the_two_spellings_of_a_letter_fold_to_one() -> None:
    assert E_ACUTE != TWO_SIGNS == unicodedata.normalize("NFD", E_ACUTE)
    assert folded(E_ACUTE) == folded(TWO_SIGNS) == folded(E_ACUTE.upper())
