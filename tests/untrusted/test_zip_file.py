"""Opening what strangers made: nothing unsafe is unpacked, nothing half is left, all is said at once."""

from __future__ import annotations

import io
import os
import stat
import struct
import subprocess
import time
import zipfile
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casaprov.errors import CrateError, NoSpace, UsageError
from casaprov.untrusted import zip_file
from casaprov.untrusted.zip_file import _TOO_DEEP, Limits, folder_issues, name_problem, unpack, zip_issues


def make_zip(path: Path, *entries: tuple[str, bytes], mode: int = 0o100644, method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries:
            info = zipfile.ZipInfo(name)
            info.filename = name  # ZipInfo would clean it
            info.external_attr = mode << 16
            info.compress_type = method
            archive.writestr(info, data)
    return path


def refused(path: Path, into: Path, limits: Limits | None = None) -> CrateError:
    """Unpack, which must fail, say why and what to do, and leave nothing."""
    with pytest.raises(CrateError) as caught:
        unpack(path, into, limits)
    assert caught.value.hint
    assert not into.exists()
    return caught.value


def test_a_sound_zip_is_unpacked_with_folders_and_bytes(tmp_path: Path) -> None:
    unpack(make_zip(tmp_path / "x.zip", ("a/b/ünï.txt", b"1" * 5000), ("e/", b"")), tmp_path / "o")
    assert (tmp_path / "o/a/b/ünï.txt").read_bytes() == b"1" * 5000
    assert (tmp_path / "o/e").is_dir()


def test_a_part_is_unpacked_only_of_a_zip_that_is_safe_as_a_whole(tmp_path: Path) -> None:
    unpack(make_zip(tmp_path / "x.zip", ("a/b", b"1"), ("c", b"2")), tmp_path / "o", only=lambda name: name == "c")
    assert [path.name for path in (tmp_path / "o").iterdir()] == ["c"]
    evil = make_zip(tmp_path / "y.zip", ("../b", b"1"), ("c", b"2"))
    with pytest.raises(CrateError, match="leads out"):
        unpack(evil, tmp_path / "p", only=lambda name: name == "c")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("/etc/passwd", "absolute"),
        ("../outside", "leads out"),
        ("a/../../outside", "leads out"),
        ("..", "leads out"),
        ("a\\..\\b", "backslash"),
        ("C:/windows", "drive"),
        ("c:file", "drive"),
        ("a//b", "empty part"),
        ("./a", "empty part"),
        ("a\x1bb", "control"),
        ("x" * 300, "too long"),
        ("/".join(["x" * 200] * 30), "too long"),
        ("a/" * 1000 + "f", "too deep"),
    ],
)
def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: str, expected: str) -> None:
    error = refused(make_zip(tmp_path / "x.zip", ("good", b"1"), (name, b"2")), tmp_path / "o")
    assert any(expected in issue.message for issue in error.issues)
    assert list(tmp_path.iterdir()) == [tmp_path / "x.zip"]


def test_a_name_with_a_null_byte_is_refused(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "x.zip", ("good?evil", b"1"))
    path.write_bytes(path.read_bytes().replace(b"good?evil", b"good\0evil"))
    assert "control character" in refused(path, tmp_path / "o").issues[0].message


@given(name=st.text(max_size=40))
def test_no_name_that_passes_leaves_the_folder(name: str) -> None:
    if not name_problem(name):
        root = Path("/root/of/crate")
        assert Path(os.path.normpath(root / name)).is_relative_to(root)
        assert name.encode()


def test_names_that_are_one_on_this_disk_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    crate = make_zip(tmp_path / "x.zip", ("p/A.im/t", b"1"), ("p/a.im/t", b"2"), ("q", b"3"))
    unpack(crate, tmp_path / "apart")
    assert [(tmp_path / "apart/p" / name / "t").read_bytes() for name in ("A.im", "a.im")] == [b"1", b"2"]
    monkeypatch.setattr(zip_file, "_takes_for_one", lambda _folder, one, other: one.lower() == other.lower())
    error = refused(crate, tmp_path / "o")
    assert "does not tell names of this crate apart: p/A.im and p/a.im." in error.message


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK])
def test_links_and_devices_are_refused(tmp_path: Path, kind: int) -> None:
    error = refused(make_zip(tmp_path / "x.zip", ("a", b"/etc/passwd"), mode=kind | 0o777), tmp_path / "o")
    assert ("link" if kind == stat.S_IFLNK else "device") in error.issues[0].message


def two_zips(path: Path) -> tuple[bytes, bytes]:
    """Return the bytes of two sound zips of the same files."""
    first = make_zip(path / "1.zip", ("a", b"1" * 100), ("b", b"1")).read_bytes()
    return first, make_zip(path / "2.zip", ("a", b"2" * 100), ("b", b"2")).read_bytes()


@pytest.mark.parametrize(
    ("join", "expected"),
    [
        (lambda one, two: b"#!/bin/sh\nexit\n" + one, "begins with bytes that belong to no entry"),
        (lambda one, two: one + b"foreign", "7 bytes stand behind its end"),
        (lambda one, two: one + two, "bytes of no entry"),
        (lambda one, two: one[:-2] + b"\x04\0\0\1\2\3", "Its comment is no text."),
        (lambda one, two: moved(one, b"PK\x03\x04 hidden"), "bytes of no entry"),
        (lambda one, two: hidden_behind(one, b"hidden" * 10), "60 bytes behind its last entry belong to none"),
    ],
    ids=["program", "behind", "two", "comment", "between", "before the directory"],
)
def test_bytes_of_no_entry_are_refused(tmp_path: Path, join: Callable[[bytes, bytes], bytes], expected: str) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(join(*two_zips(tmp_path)))
    assert expected in refused(path, tmp_path / "o").message
    assert any(expected in issue.message for issue in zip_issues(path))


def moved(data: bytes, before: bytes) -> bytes:
    """Put bytes before the first entry, and correct every offset, as 'zip -A' does."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        start = archive.start_dir
    changed = bytearray(before + data)
    at = start + len(before)
    while changed[at : at + 4] == b"PK\x01\x02":
        name, extra, comment = struct.unpack_from("<HHH", changed, at + 28)
        (offset,) = struct.unpack_from("<I", changed, at + 42)
        struct.pack_into("<I", changed, at + 42, offset + len(before))
        at += 46 + name + extra + comment
    struct.pack_into("<I", changed, at + 16, start + len(before))
    return bytes(changed)


def hidden_behind(data: bytes, hidden: bytes) -> bytes:
    """Put bytes between the last entry and the directory."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        start = archive.start_dir
    changed = bytearray(data[:start] + hidden + data[start:])
    struct.pack_into("<I", changed, len(changed) - 22 + 16, start + len(hidden))
    return bytes(changed)


class Pipe(io.BytesIO):
    """A stream without positions: zipfile leaves sizes and checksums behind each entry."""

    def seekable(self) -> bool:
        return False

    def tell(self) -> int:
        raise OSError


def test_zips_of_git_and_of_streams_are_unpacked(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "x.zip", ("a", b"1"))
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = b"0123456789abcdef0123456789abcdef01234567"
    unpack(path, tmp_path / "git")
    stream = Pipe()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a", b"1")
        archive.writestr("b", b"2")
    (tmp_path / "y.zip").write_bytes(stream.getvalue())
    unpack(tmp_path / "y.zip", tmp_path / "stream")
    assert (tmp_path / "stream" / "b").read_bytes() == b"2"


def test_a_name_that_occurs_twice_is_refused(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        path = make_zip(tmp_path / "x.zip", ("a", b"1"), ("a", b"2"))
    assert "more than once" in refused(path, tmp_path / "o").issues[0].message


def test_a_file_that_is_a_folder_too_is_refused(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "x.zip", ("a", b"1"), ("a/b", b"2"))
    assert "file at the same time" in refused(path, tmp_path / "o").issues[0].message


def test_what_lies_below_a_file_is_found_beside_names_that_sort_between(tmp_path: Path) -> None:
    names = ("a!", "a/b/c", "a", "a.b/c", "a/b", "ab/c", "b/a")
    path = make_zip(tmp_path / "x.zip", *((name, b"1") for name in names))
    assert [issue.path for issue in zip_issues(path)] == ["a/b", "a/b/c"]


def test_many_long_names_are_judged_in_time(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "x.zip", *((f"{number}/{'b/' * 5000}", b"") for number in range(300)))
    before = time.process_time()
    issues = zip_issues(path)
    assert time.process_time() - before < 5  # a step for every part of every part takes half a minute
    assert len(issues) == 100
    assert all(len(str(issue)) < 1000 for issue in issues)


def test_everything_wrong_is_said_at_once(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "x.zip", ("../a", b"1"), ("/b", b"2"), ("c\\d", b"3"))
    assert [issue.path for issue in zip_issues(path)] == ["../a", "/b", "c\\d"]


def test_an_encrypted_entry_is_refused(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "x.zip", ("a", b"1"))
    data = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + offset] |= 1
    path.write_bytes(data)
    assert "encrypted" in refused(path, tmp_path / "o").issues[0].message


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compressions_than_deflate_are_refused(tmp_path: Path, method: int) -> None:
    error = refused(make_zip(tmp_path / "x.zip", ("a", b"1" * 100), method=method), tmp_path / "o")
    assert "deflate" in error.issues[0].message


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        (Limits(max_entries=2), "3 entries"),
        (Limits(max_total_bytes=100_000), "unpack to 300000 bytes"),
        (Limits(ratio_from_bytes=1000), "zip bomb"),
    ],
)
def test_a_bomb_is_refused_before_anything_is_written(tmp_path: Path, limits: Limits, expected: str) -> None:
    path = make_zip(tmp_path / "x.zip", *((f"{n}", bytes(100_000)) for n in range(3)))
    error = refused(path, tmp_path / "o", limits)
    assert expected in error.issues[0].message
    assert "unpack it yourself" in error.hint


def test_a_directory_too_large_to_be_read_is_refused_unread(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "x.zip", *((f"{n:050d}", b"") for n in range(1000)))
    assert "directory takes" in refused(path, tmp_path / "o", Limits(max_entries=100)).issues[0].message
    assert zip_issues(path, Limits(max_entries=1000)) == ()


def test_entries_that_share_their_bytes_are_refused(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "x.zip", ("a", b"1" * 1000), ("b", b"1" * 1000))
    data = bytearray(path.read_bytes())
    second = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 1)
    data[second + 42 : second + 46] = struct.pack("<I", 0)  # its header is the first one's
    path.write_bytes(data)
    assert "overlap" in " ".join(issue.message for issue in refused(path, tmp_path / "o").issues)


@pytest.mark.parametrize("declared", [10, 900, 100_000])
def test_an_entry_that_lies_about_its_size_is_refused(tmp_path: Path, declared: int) -> None:
    path = make_zip(tmp_path / "x.zip", ("a", bytes(range(250)) * 4))
    data = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        at = data.index(signature) + offset
        data[at : at + 4] = struct.pack("<I", declared)
    path.write_bytes(data)
    assert "damaged" in refused(path, tmp_path / "o").message


def test_a_zip_cut_at_any_byte_is_refused(tmp_path: Path) -> None:
    whole = make_zip(tmp_path / "x.zip", ("a", os.urandom(400)), ("b/c", b"2" * 400)).read_bytes()
    cut = tmp_path / "cut.zip"
    for length in range(0, len(whole), 7):
        cut.write_bytes(whole[:length])
        assert zip_issues(cut)
        assert "truncated" in refused(cut, tmp_path / "o").message


def test_a_zip_with_a_flipped_byte_is_refused_or_unpacks_to_the_same_names(tmp_path: Path) -> None:
    content = {"a": b"text " * 100, "b": os.urandom(200)}
    whole = make_zip(tmp_path / "x.zip", *content.items()).read_bytes()
    flipped = tmp_path / "flipped.zip"
    for position in range(0, len(whole), 5):
        flipped.write_bytes(whole[:position] + bytes([whole[position] ^ 0x41]) + whole[position + 1 :])
        into = tmp_path / f"o{position}"
        try:
            unpack(flipped, into)
        except CrateError as error:
            assert error.hint
            assert not into.exists()
        else:  # the byte was a time or a comment, or a letter of a name
            assert {p.read_bytes() for p in into.rglob("*") if p.is_file()} <= set(content.values())


@pytest.mark.parametrize("data", [b"", b"PK", b"<html>not found</html>", b"\x1f\x8b\x08gzip"])
def test_what_is_no_zip_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.zip").write_bytes(data)
    assert "no zip file" in refused(tmp_path / "x.zip", tmp_path / "o").message


def test_a_notebook_is_no_crate_and_export_makes_one(tmp_path: Path) -> None:
    notebook = tmp_path / "n.ipynb"
    notebook.write_text("{}")
    with pytest.raises(UsageError, match=r"n\.ipynb is a notebook and no crate.*casaprov export"):
        unpack(notebook, tmp_path / "out")


def test_a_missing_crate_and_a_full_folder_are_usage_errors(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no crate"):
        unpack(tmp_path / "none.zip", tmp_path / "o")
    path = make_zip(tmp_path / "x.zip", ("a", b"1"))
    with pytest.raises(UsageError, match="not an empty folder"):
        unpack(path, tmp_path)
    assert path.exists()


def test_what_fails_leaves_an_existing_empty_folder_empty(tmp_path: Path) -> None:
    whole = make_zip(tmp_path / "x.zip", ("a", b"1"), ("b", b"2" * 1000)).read_bytes()
    at = whole.index(b"PK\x03\x04", 4) + 32
    (tmp_path / "x.zip").write_bytes(whole[:at] + b"\xff\xff\xff" + whole[at + 3 :])
    (tmp_path / "o").mkdir()
    with pytest.raises(CrateError):
        unpack(tmp_path / "x.zip", tmp_path / "o")
    assert list((tmp_path / "o").iterdir()) == []


def test_what_does_not_fit_on_the_disk_is_not_begun(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "x.zip", ("a", b"1"))
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\x01\x02")
    # A zip64 field declares more bytes than any disk has.
    extra = struct.pack("<HHQ", 1, 8, 2**60)
    record = bytearray(data[at : data.index(b"PK\x05\x06")])
    record[24:28] = b"\xff\xff\xff\xff"
    record[30:32] = struct.pack("<H", len(extra))
    end = bytearray(data[data.index(b"PK\x05\x06") :])
    end[12:16] = struct.pack("<I", len(record) + len(extra))
    path.write_bytes(bytes(data[:at]) + bytes(record) + extra + bytes(end))
    with pytest.raises(NoSpace, match="not enough space") as caught:
        unpack(path, tmp_path / "o", Limits(max_total_bytes=2**62, ratio_from_bytes=2**62))
    assert "another disk" in caught.value.hint
    assert not (tmp_path / "o").exists()


def test_an_unpacked_crate_of_any_depth_is_judged(tmp_path: Path) -> None:
    at = tmp_path / "crate"
    at.mkdir()
    with chdir(at):
        for _ in range(1500):
            Path("d").mkdir()
            os.chdir("d")
    try:
        assert [issue.message for issue in folder_issues(at)] == [_TOO_DEEP]
    finally:
        subprocess.run(["rm", "-r", at], check=True)  # deeper than shutil can go


def test_links_inside_an_unpacked_crate_are_found(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/link").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "pipe")
    assert [issue.path for issue in folder_issues(tmp_path)] == ["a/link", "pipe"]
    assert folder_issues(tmp_path, Limits(max_entries=1))[-1].message == "There are more than 1 files."


@given(data=st.binary(max_size=300))
def test_no_bytes_whatever_raise_anything_else(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a", b"1")
    (folder / "x.zip").write_bytes(data + buffer.getvalue()[len(data) :])
    try:
        unpack(folder / "x.zip", folder / "o")
    except CrateError:
        assert not (folder / "o").exists()
    else:
        assert (folder / "o" / "a").exists() or list((folder / "o").iterdir()) == []
