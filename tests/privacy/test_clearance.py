"""What must not be published stops an export, or is masked in every file of the crate, which stays valid."""

from __future__ import annotations

import json
import random
import string
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from casaprov.crate import pack
from casaprov.crates.checking.validation import check_crate
from casaprov.crates.payload import PayloadPolicy, choose_payload
from casaprov.digests.measurement import Measurement
from casaprov.errors import SecretFound
from casaprov.lineage.saved_cells import source_digest
from casaprov.privacy.clearance import PrivacyPolicy, cleared
from casaprov.records.model import Document, Tier
from sample_records import Reduction, make_reduction, measure, tree_of

RANDOM = random.Random(6)
TOKEN = "ghp" + "_" + "".join(RANDOM.choice(string.ascii_letters) for _ in range(36))
PASSWORD = "".join(RANDOM.choice(string.ascii_letters + string.digits) for _ in range(16))


def measured(path: Path, *, tier: Tier = "full") -> Measurement:
    tree = tree_of(path, "Image")
    return Measurement(kind="Image", content_digest=measure(path).content_digest, size_bytes=1, tree=tree, tier=tier)


@pytest.fixture
def planted(tmp_path: Path) -> Reduction:
    """A reduction with a token in a cell, an output, a parameter, a return value, a log; a password in an image."""
    made = make_reduction(tmp_path / "home" / "anna" / "nb")
    address = f"https://anna:{PASSWORD}@archive.example.org/"
    with (made.folder / "cube.image" / "table.f0").open("ab") as file:
        file.write(b"\x30" + address.encode() + b"\0" * 40)
    cells = json.loads(made.notebook.read_text())
    cells["cells"][6]["source"] = [f"token = '{TOKEN}'\n", "tclean"]
    cells["cells"][6]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": [f"{TOKEN}\n", "done"]}]
    made.notebook.write_text(json.dumps(cells))
    calls = list(made.document.activities)
    step = calls[6].step
    assert step is not None
    calls[6] = replace(
        calls[6],
        parameters={**calls[6].parameters, "token": TOKEN, "savemodel": "/home/anna/model"},
        returned={"used": TOKEN},
        step=replace(step, source_digest=source_digest(cells["cells"][6])),
    )
    image = measure(made.folder / "cube.image").content_digest
    entities = [replace(e, content_digest=image) if e.path == "cube.image" else e for e in made.document.entities]
    session = made.document.sessions[0]
    session = replace(
        session, folder="/home/anna/nb", environment=replace(session.environment, host="node-7.example.org")
    )
    log = calls[6].log
    assert log is not None
    (made.journal / log.path).write_text(f"INFO\tfrom /home/anna/nb on node-7.example.org with {TOKEN}\n")
    document = replace(made.document, activities=tuple(calls), entities=tuple(entities), sessions=(session,))
    return replace(made, document=document)


def crate_of(made: Reduction, policy: PrivacyPolicy, out: Path) -> tuple[dict[str, bytes], tuple[str, ...]]:
    """Pack a reduction; return the files of the crate, and what was said."""
    items = choose_payload(made.document, made.folders, PayloadPolicy(), measure=measure)
    with cleared(made.document, made.notebook, made.journal, items, policy, measured) as (clear, notes):
        pack(clear.document, notebook=clear.notebook, journal=clear.journal, items=clear.items, out=out)
    with zipfile.ZipFile(out) as archive:
        return {name: archive.read(name) for name in archive.namelist()}, notes


def holding(files: dict[str, bytes], *texts: str) -> list[str]:
    return [name for name, data in files.items() if any(text.encode() in data for text in texts)]


def test_a_secret_stops_the_export_and_every_place_is_named(planted: Reduction, tmp_path: Path) -> None:
    with pytest.raises(SecretFound) as caught:
        crate_of(planted, PrivacyPolicy(), tmp_path / "x.zip")
    for place in ("cell 7", "the output of cell 7", "parameter token of call 7 (tclean)", "logs/07-tclean.log"):
        assert place in caught.value.message
    assert "the record of call 7" in caught.value.message
    assert "a password in a URL (" in caught.value.message
    assert "products/cube.image/table.f0" in caught.value.message
    assert TOKEN not in str(caught.value)
    assert PASSWORD not in str(caught.value)


def test_masks_leave_nothing_behind_and_a_valid_crate(planted: Reduction, tmp_path: Path) -> None:
    files, notes = crate_of(planted, PrivacyPolicy(redact=True), tmp_path / "x.zip")
    assert holding(files, TOKEN, PASSWORD, "/home/anna", "node-7") == []
    assert check_crate(tmp_path / "x.zip") == ()
    assert notes[0].startswith("Masked: ")
    assert b"do not have the cells" not in files["README.md"]
    document = json.loads(files["records/document.json"])
    assert document["activities"][6]["parameters"]["token"] == ("REDACTED" + "*" * 99)[: len(TOKEN)]
    assert document["sessions"][0]["folder"] == "/~/nb"
    image = next(e for e in document["entities"] if e["path"] == "cube.image")
    tree: Any = json.loads(files[f"records/trees/{image['content_digest'].removeprefix('sha256:')}.json"])
    assert tree["kind"] == "Image"
    assert files["products/cube.image/table.f0"].count(b"https://anna:REDACTED********@archive") == 1


def test_what_is_allowed_is_packed_and_said(planted: Reduction, tmp_path: Path) -> None:
    files, notes = crate_of(planted, PrivacyPolicy(allow=True, keep_paths=True), tmp_path / "x.zip")
    assert holding(files, TOKEN)
    assert holding(files, "/home/anna")
    assert notes[0].startswith("Packed, since --allow was given: ")


def test_a_value_of_the_environment_is_found_where_it_was_printed(
    planted: Reduction, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARCHIVE_API_KEY", f"{PASSWORD}x1")
    cells = json.loads(planted.notebook.read_text())
    cells["cells"][0]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": f"{PASSWORD}x1"}]
    planted.notebook.write_text(json.dumps(cells))
    with pytest.raises(SecretFound, match=r"environment variable ARCHIVE_API_KEY .* in the output of cell 1"):
        crate_of(planted, PrivacyPolicy(), tmp_path / "x.zip")


def test_nothing_is_copied_if_there_is_nothing_to_mask(tmp_path: Path) -> None:
    made = make_reduction(tmp_path / "nb")
    items = choose_payload(made.document, made.folders, PayloadPolicy(), measure=measure)
    with cleared(made.document, made.notebook, made.journal, items, PrivacyPolicy(), measured) as (clear, notes):
        assert (clear.notebook, clear.journal, clear.items, notes) == (made.notebook, made.journal, items, ())
        assert clear.document == made.document


def test_absolute_paths_below_the_home_keep_their_place_in_the_crate(tmp_path: Path) -> None:
    made = make_reduction(tmp_path / "nb")
    outside = replace(made.document.entities[-1], path="/home/anna/out/mom0.fits")
    session = replace(made.document.sessions[0], folder="/home/anna/nb")
    document: Document = replace(made.document, entities=(*made.document.entities[:-1], outside), sessions=(session,))
    items = choose_payload(document, {session.id: made.folder}, PayloadPolicy(), measure=measure)
    items = tuple(
        replace(item, decision="shipped", source=made.folder / "mom0.fits") if item.entity == outside else item
        for item in items
    )
    with cleared(document, made.notebook, made.journal, items, PrivacyPolicy(), measured) as (clear, _):
        pack(clear.document, notebook=clear.notebook, journal=clear.journal, items=clear.items, out=tmp_path / "x.zip")
    assert "products/_absolute/~/out/mom0.fits" in zipfile.ZipFile(tmp_path / "x.zip").namelist()
    assert check_crate(tmp_path / "x.zip") == ()


def test_the_account_is_masked_in_paths_of_records_and_the_crate_is_valid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USER", "annabel")
    made = make_reduction(tmp_path / "nb")
    session = replace(made.document.sessions[0], folder="/scratch/annabel/nb")
    calls = list(made.document.activities)
    calls[0] = replace(calls[0], parameters={**calls[0].parameters, "antnamescheme": "/data/users/annabel"})
    outside = replace(made.document.entities[-1], path="/scratch/annabel/out/mom0.fits")
    entities = (*made.document.entities[:-1], outside)
    log = calls[0].log
    assert log is not None
    (made.journal / log.path).write_text("INFO\twrites /tmp/pytest-of-annabel/x for annabel@node-7\n")
    document = replace(made.document, sessions=(session,), activities=tuple(calls), entities=entities)
    files, _ = crate_of(replace(made, document=document), PrivacyPolicy(), tmp_path / "x.zip")
    assert holding(files, "annabel") == []
    assert b"/tmp/pytest-of-user/x for user@node-7" in files["logs/01-importuvfits.log"]
    assert check_crate(tmp_path / "x.zip") == ()
    files, _ = crate_of(replace(made, document=document), PrivacyPolicy(keep_paths=True), tmp_path / "y.zip")
    assert "logs/01-importuvfits.log" in holding(files, "annabel")


def test_a_file_that_no_mask_fits_on_is_named(tmp_path: Path) -> None:
    made = make_reduction(tmp_path / "nb")
    (made.folder / "n.gcal" / TOKEN).write_bytes(b"x")
    (made.folder / "n.gcal" / "table.info").write_text(TOKEN)
    gcal = measure(made.folder / "n.gcal").content_digest
    entities = [replace(e, content_digest=gcal) if e.path == "n.gcal" else e for e in made.document.entities]
    made = replace(made, document=replace(made.document, entities=tuple(entities)))
    with pytest.raises(SecretFound, match=r"Masks could not be put over .* in products/n\.gcal/ghp") as caught:
        crate_of(made, PrivacyPolicy(redact=True), tmp_path / "x.zip")
    assert "--include" in caught.value.hint
    assert not (tmp_path / "x.zip").exists()
