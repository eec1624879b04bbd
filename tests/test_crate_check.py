"""A crate that was touched anywhere is found out, and everything is said at once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from casaprov.crate import open_crate
from casaprov.digest import digest_bytes
from casaprov.errors import CrateError, Issue, UsageError
from casaprov.validate import check_crate, check_folder, read_records
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


def told(issues: tuple[Issue, ...]) -> str:
    return "\n".join(map(str, issues))


def test_a_crate_as_it_was_packed_has_no_issues(crate: Path, unpacked: Path) -> None:
    assert check_crate(crate) == ()
    assert check_crate(unpacked) == ()


def test_a_parameter_edited_in_the_records_is_found(unpacked: Path) -> None:
    edit(unpacked / "records/document.json", lambda d: d["activities"][3]["parameters"].update(solint="int"))
    found = told(check_folder(unpacked))
    assert "records/document.json: It was changed." in found
    assert "parameters/04-gaincal.json: The parameter solint" in found
    assert "found 'inf', expected 'int'" in found
    with pytest.raises(CrateError, match="not what its author packed"):
        open_crate(unpacked, unpacked)


def test_a_parameter_edited_in_its_file_is_found(unpacked: Path) -> None:
    edit(unpacked / "parameters/04-gaincal.json", lambda d: d["parameters"].update(solint="int"))
    found = told(check_folder(unpacked))
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
    found = told(check_folder(unpacked))
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
    found = told(check_folder(unpacked))
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
    assert "absolute path" in told(check_folder(unpacked))
    with pytest.raises(CrateError, match="absolute path"):
        read_records(unpacked)
    edit(unpacked / "records/crate.json", lambda d: d["items"][3].update(path="products/cube.image/"))
    assert "not where it belongs" in told(check_folder(unpacked))


def test_records_that_contradict_themselves_are_found(unpacked: Path) -> None:
    edit(unpacked / "records/document.json", lambda d: d["entities"].pop(0))
    assert "names an entity 20260501-a1b2/e0001 that is not recorded" in told(check_folder(unpacked))


def test_a_crate_without_records_says_what_it_lacks(unpacked: Path) -> None:
    (unpacked / "records/document.json").unlink()
    assert "holds no casaprov records" in told(check_folder(unpacked))
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
    assert "link" in told(check_folder(unpacked))
    with pytest.raises(CrateError):
        open_crate(unpacked, unpacked)


def test_what_is_no_zip_is_an_issue_and_a_missing_file_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(b"no zip")
    assert "no zip file" in told(check_crate(tmp_path / "x.zip"))
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
    assert expected in told(check_folder(unpacked))
    with pytest.raises(CrateError, match="cannot be used, whatever its checksums say") as caught:
        open_crate(unpacked, unpacked, verify=False)
    assert expected in caught.value.message


def test_a_link_in_a_folder_is_refused_even_if_checksums_are_ignored(unpacked: Path) -> None:
    (unpacked / "products" / "n.gcal" / "table.f0").unlink()
    (unpacked / "products" / "n.gcal" / "table.f0").symlink_to("/etc/passwd")
    with pytest.raises(CrateError, match="This is a link"):
        open_crate(unpacked, unpacked, verify=False)
