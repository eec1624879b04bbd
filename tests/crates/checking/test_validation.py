"""A crate that was touched anywhere is found out, and everything is said at once."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rocrate.rocrate import ROCrate

from casaprov.crate import open_crate
from casaprov.crates.checking.validation import check_crate, check_folder
from casaprov.crates.graph import crate_graph
from casaprov.crates.layout import METADATA, CrateFile
from casaprov.crates.stored_records import read_records
from casaprov.crates.writer import metadata_document
from casaprov.errors import CrateError, Issue, UsageError
from casaprov.files.regular import digest_file
from casaprov.hashing import digest_bytes
from sample_records import make_reduction, pack_reduction


@pytest.fixture
def crate(tmp_path: Path) -> Path:
    return pack_reduction(make_reduction(tmp_path / "nb"), tmp_path / "x.zip").path


@pytest.fixture
def unpacked(crate: Path, tmp_path: Path) -> Path:
    return open_crate(crate, tmp_path / "unpacked").folder


def edit(path: Path, change: Callable[[Any], None]) -> None:
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def described_again(folder: Path) -> None:
    """Write the description anew, with the digests of what is there: as somebody who hides a change does."""
    document, manifest = read_records(folder)
    inside = {METADATA, *(file.path for file in manifest.files)}
    paths = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    files = [
        CrateFile(path=name, sha256=digest_file(path), size_bytes=path.stat().st_size)
        for name, path in paths.items()
        if name not in inside
    ]
    (folder / METADATA).write_text(
        json.dumps(metadata_document(crate_graph(document, manifest, files), manifest.conformance))
    )


def text_of(issues: tuple[Issue, ...]) -> str:
    return "\n".join(map(str, issues))


def test_a_crate_as_it_was_packed_has_no_issues(crate: Path, unpacked: Path) -> None:
    assert check_crate(crate) == ()
    assert check_crate(unpacked) == ()


def test_a_parameter_edited_in_the_records_is_found(unpacked: Path) -> None:
    edit(unpacked / "records/document.json", lambda d: d["activities"][3]["parameters"].update(solint="int"))
    found = text_of(check_folder(unpacked))
    assert "records/document.json: It was changed." in found
    assert "parameters/04-gaincal.json: The parameter solint" in found
    assert "found 'inf', expected 'int'" in found
    with pytest.raises(CrateError, match="not what its author packed"):
        open_crate(unpacked, unpacked)


def test_a_parameter_edited_in_its_file_is_found(unpacked: Path) -> None:
    edit(unpacked / "parameters/04-gaincal.json", lambda d: d["parameters"].update(solint="int"))
    found = text_of(check_folder(unpacked))
    assert "parameters/04-gaincal.json: It was changed." in found
    assert "found 'int', expected 'inf'" in found


def test_a_parameter_edited_in_the_description_is_found(unpacked: Path) -> None:
    def change(data: Any) -> None:
        node = next(n for n in data["@graph"] if n["@id"] == "#value/20260501-a1b2/0004/solint")
        node["value"] = "int"

    edit(unpacked / "ro-crate-metadata.json", change)
    (issue,) = check_folder(unpacked)
    assert issue.path == "ro-crate-metadata.json #value/20260501-a1b2/0004/solint"
    assert (issue.found, issue.expected) == ("'int'", "'inf'")


def test_a_call_that_was_invented_or_removed_from_the_description_is_found(unpacked: Path) -> None:
    def change(data: Any) -> None:
        calls = [n for n in data["@graph"] if n["@id"].startswith("#call/")]
        data["@graph"].remove(calls[0])
        data["@graph"].append({**calls[1], "@id": "#call/invented"})

    edit(unpacked / "ro-crate-metadata.json", change)
    found = text_of(check_folder(unpacked))
    assert "#call/invented: The records know nothing of it." in found
    assert "#call/20260501-a1b2/0001: The records say that it belongs here" in found


def test_a_record_forged_with_its_digest_still_contradicts_the_description(unpacked: Path) -> None:
    path = unpacked / "records/document.json"
    edit(path, lambda d: d["activities"][3]["parameters"].update(solint="int"))

    def change(data: Any) -> None:
        node = next(n for n in data["@graph"] if n["@id"] == "records/document.json")
        node["sha256"] = digest_bytes(path.read_bytes()).removeprefix("sha256:")
        node["contentSize"] = str(path.stat().st_size)

    edit(unpacked / "ro-crate-metadata.json", change)
    found = text_of(check_folder(unpacked))
    assert "It was changed" not in found
    assert "#value/20260501-a1b2/0004/solint" in found


def test_files_that_were_changed_removed_or_added_are_all_found(unpacked: Path) -> None:
    (unpacked / "products/n.gcal/table.f0").write_bytes(b"x" * (unpacked / "products/n.gcal/table.f0").stat().st_size)
    (unpacked / "products/mom0.fits").write_bytes(b"longer or shorter")
    (unpacked / "logs/01-importuvfits.log").unlink()
    (unpacked / "products/n.gcal/extra").write_bytes(b"")
    found = check_folder(unpacked)
    assert {(issue.path, issue.message) for issue in found} == {
        ("products/n.gcal/table.f0", "It was changed."),
        ("products/mom0.fits", "It was changed."),
        ("logs/01-importuvfits.log", "It was removed."),
        ("products/n.gcal/extra", "It was added."),
    }
    with pytest.raises(CrateError) as caught:
        open_crate(unpacked, unpacked)
    assert set(caught.value.issues) == set(found)
    assert open_crate(unpacked, unpacked, verify=False).document.activities


def test_an_item_that_points_elsewhere_is_refused(unpacked: Path) -> None:
    edit(unpacked / "records/crate.json", lambda d: d["items"][3].update(path="/etc/"))
    assert "absolute path" in text_of(check_folder(unpacked))
    with pytest.raises(CrateError, match="absolute path"):
        read_records(unpacked)
    edit(unpacked / "records/crate.json", lambda d: d["items"][3].update(path="products/cube.image/"))
    assert "not where it belongs" in text_of(check_folder(unpacked))


def test_records_that_contradict_themselves_are_found(unpacked: Path) -> None:
    edit(unpacked / "records/document.json", lambda d: d["entities"].pop(0))
    assert "names an entity 20260501-a1b2/e0001 that is not recorded" in text_of(check_folder(unpacked))


def test_a_crate_without_records_says_what_it_lacks(unpacked: Path) -> None:
    (unpacked / "records/document.json").unlink()
    assert "holds no casaprov records" in text_of(check_folder(unpacked))
    with pytest.raises(CrateError, match="This crate holds no casaprov records") as caught:
        open_crate(unpacked, unpacked)
    assert "casaprov export" in caught.value.hint


@pytest.mark.parametrize("text", ["{", "[]", '{"@graph": 5}', '{"@graph": [1, {"@id": 7}]}', "{}"])
def test_a_broken_description_is_an_issue_and_no_crash(unpacked: Path, text: str) -> None:
    (unpacked / "ro-crate-metadata.json").write_text(text)
    assert check_folder(unpacked)


@pytest.mark.parametrize("name", ["records/document.json", "records/crate.json", "ro-crate-metadata.json"])
@pytest.mark.parametrize("text", ["", "[" * 5000, '"x"', '{"format": "casaprov/document/2"}', "null"])
def test_broken_records_are_an_issue_and_no_crash(unpacked: Path, name: str, text: str) -> None:
    (unpacked / name).write_text(text)
    assert check_folder(unpacked)


def test_a_link_instead_of_a_file_is_found(unpacked: Path) -> None:
    (unpacked / "products/mom0.fits").unlink()
    (unpacked / "products/mom0.fits").symlink_to("/etc/passwd")
    assert "link" in text_of(check_folder(unpacked))
    with pytest.raises(CrateError):
        open_crate(unpacked, unpacked)


def test_what_is_no_zip_is_an_issue_and_a_missing_file_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(b"no zip")
    assert "no zip file" in text_of(check_crate(tmp_path / "x.zip"))
    with pytest.raises(UsageError, match="no crate"):
        check_crate(tmp_path / "none.zip")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda d: d.update(sessions=[]), "belongs to a session 20260501-a1b2 that is not recorded"),
        (lambda d: d["activities"][2].update(session="gone"), "belongs to a session gone that is not recorded"),
        (lambda d: d["activities"][3]["parameters"].update(caltable="n.gcal\0x"), "The parameter caltable of call"),
        (lambda d: d["sessions"][0].update(folder="/x\0y"), "The folder of session"),
    ],
)
def test_records_that_cannot_be_used_are_refused_even_if_checksums_are_ignored(
    unpacked: Path, change: Callable[[Any], None], expected: str
) -> None:
    edit(unpacked / "records/document.json", change)
    assert expected in text_of(check_folder(unpacked))
    with pytest.raises(CrateError, match="cannot be used, with or without checksums") as caught:
        open_crate(unpacked, unpacked, verify=False)
    assert expected in caught.value.message


def test_a_link_in_a_folder_is_refused_even_if_checksums_are_ignored(unpacked: Path) -> None:
    (unpacked / "products" / "n.gcal" / "table.f0").unlink()
    (unpacked / "products" / "n.gcal" / "table.f0").symlink_to("/etc/passwd")
    with pytest.raises(CrateError, match="This is a link"):
        open_crate(unpacked, unpacked, verify=False)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            lambda m: m.update({"@context": "https://example.org/context"}),
            "Its @context is not that of a casaprov crate.",
        ),
        (lambda m: m["@context"].append({"sha256": "https://example.org/x"}), "Its @context is not that"),
        (lambda m: m.pop("@context"), "Its @context is not that of a casaprov crate. (found None"),
        (lambda m: m.update(more={}), "Its member more"),
        (lambda m: m["@graph"].append("x"), "of its @graph describes nothing. (found 'x', expected an object)"),
        (lambda m: m["@graph"].insert(0, ["x"]), "Member 0 of its @graph describes nothing."),
    ],
)
def test_what_is_around_the_statements_is_held_to_the_format(
    unpacked: Path, change: Callable[[Any], None], expected: str
) -> None:
    edit(unpacked / METADATA, change)
    (issue,) = check_folder(unpacked)
    assert issue.path == METADATA
    assert expected in str(issue)


def test_a_crate_that_an_rocrate_library_wrote_again_is_valid(unpacked: Path, tmp_path: Path) -> None:
    ROCrate(unpacked).write(tmp_path / "again")
    assert check_folder(tmp_path / "again") == ()


@pytest.mark.parametrize(
    ("pattern", "files"), [("README.md", 1), ("parameters/*", 8), ("logs/*", 8), ("products/*.fits", 1)]
)
def test_files_that_are_gone_with_their_description_are_missed(unpacked: Path, pattern: str, files: int) -> None:
    gone = list(unpacked.glob(pattern))
    assert len(gone) == files
    for path in gone:
        path.unlink()
    described_again(unpacked)
    missed = {issue.path for issue in check_folder(unpacked) if "it is missing" in issue.message}
    assert missed == {path.relative_to(unpacked).as_posix() for path in gone}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            lambda p: p.update(task="rmtables"),
            "Its member task is not what the record of call 20260501-a1b2/0003 says.",
        ),
        (lambda p: p.update(given=[]), "Its member given is not what the record"),
        (lambda p: p.update(more=1), "Its member more is not what the record"),
        (lambda p: p["parameters"].update(autocorr=1), "The parameter autocorr is not what the record"),
    ],
)
def test_all_of_a_parameter_file_is_compared(unpacked: Path, change: Callable[[Any], None], expected: str) -> None:
    edit(unpacked / "parameters/03-flagdata.json", change)
    described_again(unpacked)
    (issue,) = check_folder(unpacked)
    assert issue.path == "parameters/03-flagdata.json"
    assert expected in issue.message


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda _: "casaprov replay --unconfined", "It has no table of calls."),
        (lambda text: text.replace("| gaincal |", "| bandpass |", 1), "Its task of calls 4 is not what the records"),
        (lambda text: text.replace('solint="inf"', 'solint="int"'), "Its given parameters of calls 4"),
        (lambda text: text.replace("| failed |", "| completed |"), "Its outcome of calls 5"),
        (lambda text: re.sub(r"\| 8 \| exportfits.*\n", "", text), "Its  of calls 8"),
        (
            lambda text: re.sub(r"(\| 8 \| exportfits.*\n)", r"\1| 9 | imstat | | completed | 1 |\n", text),
            "lists more calls",
        ),
        (lambda text: text + "\n" + text, "It lists calls twice."),
        (lambda text: text.replace("| no |", "| `products/n.ms/` |", 1), "Its in this crate of inputs and products 1"),
    ],
)
def test_a_readme_that_states_other_facts_is_found(unpacked: Path, change: Callable[[str], str], expected: str) -> None:
    path = unpacked / "README.md"
    changed = change(path.read_text())
    assert changed != path.read_text()
    path.write_text(changed)
    described_again(unpacked)
    issues = check_folder(unpacked)
    assert {issue.path for issue in issues} == {"README.md"}
    assert expected.replace("Its  of", "Its number of") in issues[0].message


def test_a_readme_may_have_other_words_and_more_of_them(unpacked: Path) -> None:
    path = unpacked / "README.md"
    text = path.read_text().replace("whether every product is the same", "if all is as it was")
    path.write_text(f"[![DOI](doi.svg)](https://doi.org/10.5281/zenodo.1)\n\n{text}\n| a | b |\n|---|---|\n| 1 | 2 |\n")
    described_again(unpacked)
    assert check_folder(unpacked) == ()


def test_a_notebook_whose_cells_are_not_those_that_ran_is_found(unpacked: Path) -> None:
    edit(unpacked / "my reduction.ipynb", lambda n: n["cells"][6].update(source="tclean(niter=100000)"))
    described_again(unpacked)
    (issue,) = check_folder(unpacked)
    assert issue.path == "README.md"
    assert "calls whose cells are not in the notebook as they ran" in issue.message
    assert issue.expected == "'7 (tclean).'"
