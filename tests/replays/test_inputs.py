"""Inputs of a replay: the places of the search, the candidates that are read and accepted, and the messages."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from casacore import tables as casacore

from casaprov.casa.replaying import place_in_casa_data
from casaprov.crate import open_crate
from casaprov.digests.measurement import Measurement, facts_of, measure
from casaprov.errors import InputMissing
from casaprov.readers.installed import fits_reader, table_reader
from casaprov.records.model import Document, Entity, Kind, Locator, Tier
from casaprov.replays.inputs import InputFinder, find_inputs
from casaprov.replays.locators import FileLocators
from sample_records import make_reduction, pack_reduction


class Measuring:
    """Measures, and remembers what."""

    def __init__(self) -> None:
        self.read: list[Path] = []

    def __call__(self, path: Path, /, *, tier: Tier = "full") -> Measurement:
        self.read.append(path)
        return measure(path, table_reader, fits_reader, tier=tier)


def finder(measuring: Measuring, *folders: Path, shipped: Path | None = None) -> InputFinder:
    resolvers = {"casadata": place_in_casa_data, "file": FileLocators(Document(notebook="n.ipynb"), folders).resolve}
    return InputFinder(resolvers=resolvers, folders=folders, measure=measuring, shipped=lambda _entity: shipped)


def recorded(path: Path, *locators: Locator, name: str = "") -> Entity:
    return Entity(id="e", path=name or path.name, locators=locators, **facts_of(Measuring()(path), derived=False))


def text(path: Path, content: str = "recorded") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def folder_of(path: Path) -> Path:
    text(path / "inner" / "a.txt")
    return path


def table(path: Path) -> Path:
    """A table with one column."""
    description = casacore.maketabdesc([casacore.makescacoldesc("NUMBER", 1.0)])
    with casacore.table(str(path), description, nrow=3, ack=False) as opened:
        opened.putcol("NUMBER", [1.0, 2.0, 3.0])
    return path


MAKE: dict[str, Callable[[Path], Path]] = {
    "File": text,
    "Table": table,
    "Directory": folder_of,
}


@pytest.mark.parametrize("kind", MAKE)
@pytest.mark.parametrize("name", ["plain", "obs[1].ms", "a*b?", "[!x]", "é ]["])
def test_an_input_is_found_by_its_name_whatever_that_is(tmp_path: Path, kind: str, name: str) -> None:
    (tmp_path / "data" / "deep").mkdir(parents=True)
    entity = recorded(MAKE[kind](tmp_path / "data" / "deep" / name))
    assert finder(Measuring(), tmp_path / "data").find(entity) == tmp_path / "data" / "deep" / name


@pytest.mark.parametrize("kind", MAKE)
def test_what_is_found_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    (tmp_path / "data").mkdir()
    entity = recorded(MAKE[kind](tmp_path / "data" / "x"))
    monkeypatch.chdir(tmp_path)
    assert finder(Measuring(), Path("data")).find(entity) == tmp_path / "data" / "x"
    assert finder(Measuring(), shipped=Path("data/x")).find(entity) == tmp_path / "data" / "x"


@pytest.mark.parametrize("kind", ["File", "Table"])
def test_one_of_another_name_is_found_by_its_content_and_few_are_read(tmp_path: Path, kind: str) -> None:
    data = tmp_path / "data"
    data.mkdir()
    entity = recorded(MAKE[kind](data / "raw.ms"), name="work.ms")
    text(data / "a.txt", "of another size")
    larger = table(data / "b.tab")
    (larger / "table.f0").write_bytes((larger / "table.f0").read_bytes() + bytes(100))
    (data / "raw.ms" / "table.lock").write_bytes(bytes(500)) if kind == "Table" else None
    measuring = Measuring()
    assert finder(measuring, data).find(entity) == data / "raw.ms"
    assert measuring.read == [data / "raw.ms"]


def test_a_link_to_a_table_is_found_by_its_content(tmp_path: Path) -> None:
    (tmp_path / "archive").mkdir()
    (tmp_path / "data").mkdir()
    entity = recorded(table(tmp_path / "archive" / "raw.ms"), name="work.ms")
    (tmp_path / "data" / "link.ms").symlink_to(tmp_path / "archive" / "raw.ms")
    assert finder(Measuring(), tmp_path / "data").find(entity) == tmp_path / "data" / "link.ms"


@pytest.mark.parametrize("kind", ["FITS", "File", "MeasurementSet", "Image", "Directory"])
@pytest.mark.parametrize(
    ("scheme", "value"), [("file", "{here}"), ("casadata", "../../../usr"), ("casadata", "{here}"), ("file", "here")]
)
def test_a_locator_that_leads_to_anything_else_has_nothing_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Kind, scheme: str, value: str
) -> None:
    monkeypatch.setattr("casaprov.casa.replaying.data_folders", lambda: (tmp_path / "here" / "x" / "y" / "z",))
    (tmp_path / "here" / "x" / "y" / "z").mkdir(parents=True)
    (tmp_path / "usr").mkdir()
    (tmp_path / "here" / "large").write_bytes(bytes(2**21))
    monkeypatch.chdir(tmp_path)
    value = value.format(here=tmp_path / "here")
    locator = Locator(scheme=scheme, value=value)  # type: ignore[arg-type]
    digest = recorded(text(tmp_path / "n")).content_digest
    entity = Entity(id="e", path="n", kind=kind, content_digest=digest, size_bytes=8, locators=(locator,))
    measuring = Measuring()
    with pytest.raises(InputMissing, match=value):
        finder(measuring).find(entity)
    assert measuring.read == []


@pytest.mark.parametrize("scheme", ["file", "casadata"])
def test_a_locator_that_no_path_can_have_leads_nowhere(tmp_path: Path, scheme: str) -> None:
    (tmp_path / "data").mkdir()
    here = f"{tmp_path}/data/" * (scheme == "file")
    for value in (here + "x" * 5000, here + "x\0y"):
        locator = Locator(scheme=scheme, value=value)  # type: ignore[arg-type]
        with pytest.raises(InputMissing, match="is not there"):
            finder(Measuring(), tmp_path / "data").find(replace(recorded(text(tmp_path / "n")), locators=(locator,)))


def test_a_file_of_another_size_is_not_read(tmp_path: Path) -> None:
    entity = recorded(text(tmp_path / "n.fits"))
    (tmp_path / "data").mkdir()
    text(tmp_path / "data" / "n.fits", "record")
    measuring = Measuring()
    with pytest.raises(InputMissing, match=r"data/n\.fits has other content;"):
        finder(measuring, tmp_path / "data").find(entity)
    assert measuring.read == []


def test_a_fits_file_with_more_of_a_history_is_found(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    fits.PrimaryHDU(np.arange(6.0)).writeto(tmp_path / "n.fits")
    entity = recorded(tmp_path / "n.fits")
    with fits.open(tmp_path / "n.fits") as units:
        for number in range(100):
            units[0].header.add_history(f"looked at, {number}")
        units.writeto(tmp_path / "data" / "n.fits")
    assert (tmp_path / "data" / "n.fits").stat().st_size > entity.size_bytes
    assert finder(Measuring(), tmp_path / "data").find(entity) == tmp_path / "data" / "n.fits"


def test_a_table_many_times_as_large_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    entity = recorded(table(tmp_path / "data" / "n.ms"))
    with (tmp_path / "data" / "n.ms" / "table.f1").open("wb") as stream:
        stream.truncate(2**30)
    measuring = Measuring()
    with pytest.raises(InputMissing, match=r"n\.ms is too large;"):
        finder(measuring, tmp_path / "data").find(entity)
    assert measuring.read == []


def test_a_truncated_table_is_told(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    entity = recorded(table(tmp_path / "n.ms"))
    shutil.copytree(tmp_path / "n.ms", tmp_path / "data" / "n.ms")
    os.truncate(tmp_path / "data" / "n.ms" / "table.dat", 100)
    shown = r"data/n\.ms is unreadable \("
    with pytest.raises(InputMissing, match=shown) as caught:
        finder(Measuring(), tmp_path / "data").find(entity)
    assert f"of this name or content is below {tmp_path / 'data'}" in str(caught.value)
    assert "the right n.ms, under this or another name, with --data" in caught.value.hint


def test_a_table_that_was_written_anew_may_have_another_size(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    entity = recorded(table(tmp_path / "data" / "n.ms"))
    with (tmp_path / "data" / "n.ms" / "table.f0").open("ab") as stream:
        stream.write(bytes(4096))
    assert finder(Measuring(), tmp_path / "data").find(entity) == tmp_path / "data" / "n.ms"


def test_a_desktop_file_makes_no_other_directory(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    entity = recorded(folder_of(tmp_path / "data" / "d"))
    (tmp_path / "data" / "d" / ".DS_Store").write_bytes(bytes(6148))
    assert finder(Measuring(), tmp_path / "data").find(entity) == tmp_path / "data" / "d"


def test_an_input_that_the_notebook_changed_is_told_with_the_number_of_the_call(tmp_path: Path) -> None:
    crate = pack_reduction(make_reduction(tmp_path / "nb"), tmp_path / "x.zip").path
    opened = open_crate(crate, tmp_path / "crate")
    call = opened.document.activities[1]
    entity = recorded(text(tmp_path / "work.txt"))
    changed = replace(entity, id="later", revision_of="e", generated_by=call.id)
    document = replace(opened.document, entities=(entity, changed))
    with pytest.raises(InputMissing, match=rf"Call 2 \({call.task}\) of the notebook itself changed it") as caught:
        find_inputs([entity], document, finder(Measuring()))
    assert call.id not in str(caught.value)
    assert "what it was copied from" in caught.value.hint
