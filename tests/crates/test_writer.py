"""Writing a crate: its layout, the same bytes again, and nothing half when it fails."""

from __future__ import annotations

import json
import os
import pickle
import re
import stat
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from casaprov.crate import OpenCrate, Packed, open_crate, pack
from casaprov.crates.checking.validation import check_crate, examine_crate
from casaprov.crates.layout import Manifest
from casaprov.crates.payload import PayloadPolicy, choose_payload
from casaprov.errors import CrateError, RecordError, UsageError
from casaprov.files.regular import digest_file
from casaprov.records.model import Document
from casaprov.untrusted.zip_file import Limits, zip_issues
from checkout import SUPPORT
from sample_records import Reduction, make_reduction, measure, pack_reduction


@pytest.fixture
def reduction(tmp_path: Path) -> Reduction:
    return make_reduction(tmp_path / "nb")


@pytest.fixture
def packed(reduction: Reduction, tmp_path: Path) -> Packed:
    return pack_reduction(reduction, tmp_path / "x.zip")


@pytest.fixture
def opened(packed: Packed, tmp_path: Path) -> OpenCrate:
    return open_crate(packed.path, tmp_path / "opened")


def test_the_same_records_and_files_give_the_same_bytes(reduction: Reduction, tmp_path: Path) -> None:
    first = pack_reduction(reduction, tmp_path / "1.zip")
    os.utime(reduction.folder / "mom0.fits", (0, 0))
    second = pack_reduction(reduction, tmp_path / "2.zip")
    assert first.path.read_bytes() == second.path.read_bytes()
    assert first.digest == second.digest == digest_file(first.path)
    assert first.size_bytes == first.path.stat().st_size


def test_the_progress_ends_with_the_last_byte_of_the_payload(reduction: Reduction, tmp_path: Path) -> None:
    items = choose_payload(reduction.document, reduction.folders, PayloadPolicy(), measure=measure)
    seen: list[tuple[int, int]] = []
    pack(
        reduction.document,
        notebook=reduction.notebook,
        journal=reduction.journal,
        items=items,
        out=tmp_path / "x.zip",
        on_progress=lambda done, size: seen.append((done, size)),
    )
    size = sum(item.size_bytes for item in items if item.source is not None)
    assert {of for _, of in seen} == {size}
    assert seen == sorted(seen)
    assert seen[-1][0] == size


@pytest.mark.long
def test_a_file_of_more_than_4_gb_is_shipped(reduction: Reduction, tmp_path: Path) -> None:
    size = 2**32 + 5
    with (tmp_path / "large").open("wb") as file:
        file.truncate(size)
    items = tuple(
        replace(item, source=tmp_path / "large", size_bytes=size) if item.entity.path == "mom0.fits" else item
        for item in choose_payload(reduction.document, reduction.folders, PayloadPolicy(), measure=measure)
    )
    out = tmp_path / "x.zip"
    pack(reduction.document, notebook=reduction.notebook, journal=reduction.journal, items=items, out=out)
    assert zip_issues(out, Limits(max_ratio=2000)) == ()  # nothing but zeros
    with zipfile.ZipFile(out) as archive:
        assert archive.getinfo("products/mom0.fits").file_size == size
        graph = json.loads(archive.read("ro-crate-metadata.json"))["@graph"]
    assert next(node for node in graph if node["@id"] == "products/mom0.fits")["contentSize"] == str(size)


def test_the_zip_has_the_documented_layout(packed: Packed) -> None:
    with zipfile.ZipFile(packed.path) as archive:
        names = archive.namelist()
        assert {info.date_time for info in archive.infolist()} == {(2026, 5, 1, 10, 9, 58)}
    assert len(names) == len(set(names))
    assert {name.partition("/")[0] for name in names} == {
        "ro-crate-metadata.json", "README.md", "my reduction.ipynb", "records", "parameters", "logs", "products",
    }  # fmt: skip
    assert {"records/document.json", "records/crate.json", "parameters/04-gaincal.json", "logs/04-gaincal.log"} <= set(
        names
    )


def test_the_readme_tells_how_to_replay_and_lists_calls_and_products(opened: OpenCrate) -> None:
    text = (opened.folder / "README.md").read_text()
    assert "casaprov replay" in text
    assert '| 4 | gaincal | `vis="n.ms", caltable="n.gcal", solint="inf"' in text
    assert "| `n.gcal` | CalibrationTable | 6000 | `products/n.gcal/` | a calibration table |" in text
    assert "| `n.ms` | MeasurementSet | 7000 | no | visibilities, referenced by digest |" in text
    assert "casadata `demo/N.fits`" in text


def test_the_readme_says_which_notebook_made_an_input(reduction: Reduction, tmp_path: Path) -> None:
    entities = [
        replace(e, note="Call 0003 (exportuvfits) of a.ipynb left it.") for e in reduction.document.entities[:1]
    ]
    document = replace(reduction.document, entities=(*entities, *reduction.document.entities[1:]))
    packed = pack_reduction(replace(reduction, document=document), tmp_path / "x.zip")
    text = (open_crate(packed.path, tmp_path / "opened").folder / "README.md").read_text()
    assert re.search(r"^- `data/N\.fits`: .+`\. Call 0003 \(exportuvfits\) of a\.ipynb left it\.$", text, re.MULTILINE)


def test_a_crate_gets_ordinary_permissions(packed: Packed) -> None:
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(packed.path.stat().st_mode) == 0o666 & ~umask


def pack_alone(reduction: Reduction, tmp_path: Path, max_file_bytes: int) -> str:
    """Pack in a process of its own and return what it printed."""
    (tmp_path / "reduction.pickle").write_bytes(pickle.dumps(reduction))
    script = SUPPORT / "pack_alone.py"
    arguments = [tmp_path / "reduction.pickle", tmp_path / "x.zip", max_file_bytes]
    command = [sys.executable, str(script), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout


def test_a_large_file_is_streamed(reduction: Reduction, tmp_path: Path) -> None:
    with (reduction.folder / "mom0.fits").open("wb") as file:
        file.truncate(200_000_000)
    assert int(pack_alone(reduction, tmp_path, max_file_bytes=2**40)) < 50_000, "kilobytes"


def test_a_full_disk_leaves_the_earlier_crate_and_nothing_else(reduction: Reduction, tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(b"an earlier crate")
    error = pack_alone(reduction, tmp_path, max_file_bytes=4000)
    assert "There is no space left to write the crate" in error
    assert "another disk" in error
    assert (tmp_path / "x.zip").read_bytes() == b"an earlier crate"
    assert {path.name for path in tmp_path.iterdir()} == {"nb", "reduction.pickle", "x.zip"}


def test_a_file_that_vanishes_while_packing_leaves_the_earlier_crate(reduction: Reduction, tmp_path: Path) -> None:
    out = tmp_path / "x.zip"
    out.write_bytes(b"an earlier crate")
    items = choose_payload(reduction.document, reduction.folders, PayloadPolicy(), measure=measure)
    (reduction.folder / "mom0.fits").unlink()
    with pytest.raises(CrateError, match=r"mom0\.fits") as caught:
        pack(reduction.document, notebook=reduction.notebook, journal=reduction.journal, items=items, out=out)
    assert caught.value.hint
    assert out.read_bytes() == b"an earlier crate"
    assert {path.name for path in tmp_path.iterdir()} == {"nb", "x.zip"}


def test_an_earlier_crate_is_replaced_by_a_complete_one(reduction: Reduction, tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(b"an earlier crate")
    assert check_crate(pack_reduction(reduction, tmp_path / "x.zip").path) == ()


def test_requests_that_make_no_sense_are_usage_errors(reduction: Reduction, tmp_path: Path) -> None:
    def attempt(notebook: Path, out: Path) -> None:
        pack(reduction.document, notebook=notebook, journal=reduction.journal, items=(), out=out)

    with pytest.raises(UsageError, match="no notebook"):
        attempt(tmp_path / "none.ipynb", tmp_path / "x.zip")
    with pytest.raises(UsageError, match="is a folder"):
        attempt(reduction.notebook, tmp_path)
    with pytest.raises(UsageError, match="does not exist"):
        attempt(reduction.notebook, tmp_path / "none" / "x.zip")
    (tmp_path / "README.md").write_text("")
    with pytest.raises(UsageError, match="cannot be called"):
        attempt(tmp_path / "README.md", tmp_path / "x.zip")


def test_records_without_calls_or_in_contradiction_are_not_packed(reduction: Reduction, tmp_path: Path) -> None:
    def attempt(document: Document) -> None:
        pack(document, notebook=reduction.notebook, journal=reduction.journal, items=(), out=tmp_path / "x.zip")

    with pytest.raises(RecordError, match="holds no task call"):
        attempt(replace(reduction.document, activities=(), entities=()))
    with pytest.raises(RecordError, match="contradicts itself"):
        attempt(replace(reduction.document, entities=()))
    calls = tuple(replace(a, returned=float("nan")) for a in reduction.document.activities)
    with pytest.raises(RecordError, match="JSON cannot express"):
        attempt(replace(reduction.document, activities=calls))
    assert not (tmp_path / "x.zip").exists()


def test_a_log_path_that_leads_out_of_the_journal_is_not_followed(reduction: Reduction, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    first, *rest = reduction.document.activities
    assert first.log is not None
    (reduction.journal / "link.log").symlink_to(tmp_path / "secret")
    document = replace(reduction.document, activities=(replace(first, log=replace(first.log, path="link.log")), *rest))
    pack_reduction(replace(reduction, document=document), tmp_path / "x.zip")
    with zipfile.ZipFile(tmp_path / "x.zip") as archive:
        assert "logs/01-importuvfits.log" not in archive.namelist()


def test_a_log_that_the_journal_has_lost_is_not_named_by_the_crate(reduction: Reduction, tmp_path: Path) -> None:
    log = reduction.document.activities[0].log
    assert log is not None
    (reduction.journal / log.path).unlink()
    opened = open_crate(pack_reduction(reduction, tmp_path / "x.zip").path, tmp_path / "o")
    first, second = opened.document.activities[:2]
    assert first.log is None
    assert "no longer in the journal" in first.problems[0]
    assert second.log is not None


def test_a_notebook_that_has_other_cells_than_those_that_ran_is_told(reduction: Reduction, tmp_path: Path) -> None:
    assert pack_reduction(reduction, tmp_path / "x.zip").notes == ()
    reduction.notebook.write_text(reduction.notebook.read_text().replace('"tclean"', '"tclean(niter=1)"'))
    packed = pack_reduction(reduction, tmp_path / "x.zip")
    (note,) = packed.notes
    assert note.startswith(
        "1 call ran in cells that the saved notebook lacks or has in another form (tclean): save my red"
    )
    text = (open_crate(packed.path, tmp_path / "o").folder / "README.md").read_text()
    assert "does not have the cells of these calls as they ran:\n7 (tclean).\n" in text


def test_a_crate_of_format_2_that_was_written_without_connections_is_valid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("casaprov.crate.Manifest", lambda **facts: Manifest(**{**facts, "connections": False}))
    pack_reduction(make_reduction(tmp_path / "nb"), tmp_path / "x.zip")
    with zipfile.ZipFile(tmp_path / "x.zip") as archive:
        assert b"ParameterConnection" not in archive.read("ro-crate-metadata.json")
    findings = examine_crate(tmp_path / "x.zip")
    assert (findings.errors, findings.notes) == ((), ())
