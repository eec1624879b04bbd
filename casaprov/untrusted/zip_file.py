"""Zip files from strangers, hostile until proven otherwise.

Every name and every size in a zip is a claim of its author. The whole
directory of the zip is judged before one byte is written, all issues are
reported at once, and each file that is extracted must have the declared size.
"""

from __future__ import annotations

import errno
import os
import re
import shlex
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath

from casaprov.errors import CrateError, Issue, NoSpace, UsageError, first_issues
from casaprov.files.disk_names import clashes
from casaprov.files.regular import special_kind

__all__ = ["Limits", "clear", "folder_issues", "name_problem", "unpack", "zip_issues"]

_DRIVE = re.compile(r"[A-Za-z]:")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_COMMENT = re.compile(rb"[\x20-\x7e\t\r\n]*")  # git archive and GitHub leave the commit there
_CHUNK = 2**20
_MAX_PARTS = 100  # parts of a name: folders below folders
_MAX_ISSUES = 100
_MOST_NAMED = 5
_TOO_DEEP = f"It lies too deep: a crate holds up to {_MAX_PARTS - 1} folders in one another."
_DESCRIPTOR_BYTES = 24  # sizes and checksum that a stream leaves behind an entry
_END_BYTES = 22 + 2**16 + 20  # end record, its comment, and zip64's locator before it
_ENTRY_BYTES = 300  # usual size of an entry in the directory of a zip: 46, its name, its extra field
_AGAIN = "Get the crate again from where it was published, or ask its author for a new copy."
_TRUSTED = "If you trust its origin, unpack it yourself and give the folder instead of the zip."


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The limits of a crate from outside.

    Attributes
    ----------
    max_ratio
        Largest ratio of unpacked to packed bytes, in crates that unpack to more
        than `ratio_from_bytes`. Flags and zeros reach 1000 legitimately, in
        small amounts; a zip bomb has such a ratio as a whole.
    """

    max_entries: int = 200_000
    max_total_bytes: int = 200 * 10**9
    max_ratio: float = 200.0
    ratio_from_bytes: int = 10**9


def name_problem(name: str) -> str:
    """Say why `name` cannot be the path of a file in a crate; empty if it can."""
    parts = name.removesuffix("/").split("/")
    if name.startswith("/"):
        return "is an absolute path"
    if _DRIVE.match(name):
        return "begins with a drive letter"
    if "\\" in name:
        return "contains a backslash"
    if _CONTROL.search(name):
        return "contains a control character"
    if ".." in parts:
        return "leads out of the crate"
    if not all(parts) or "." in parts:
        return "has an empty part"
    if any("\ud800" <= character <= "\udfff" for character in name):
        return "is not valid Unicode"
    if len(name.encode()) > 4000 or any(len(part.encode()) > 255 for part in parts):
        return "is too long"
    if len(parts) > _MAX_PARTS:
        return "leads too deep"
    return ""


def zip_issues(path: Path, limits: Limits | None = None) -> tuple[Issue, ...]:
    """Return every issue in the directory of a zip that makes it unsafe to unpack."""
    limits = limits or Limits()
    try:
        with _opened(path, limits) as archive:
            return _directory_issues(archive, path.stat().st_size, limits)
    except CrateError as error:
        return error.issues or (Issue(path.name, error.message),)


def folder_issues(folder: Path, limits: Limits | None = None) -> tuple[Issue, ...]:
    """Return every issue that makes an unpacked crate unsafe to read: links, devices, too many files or folders."""
    limits = limits or Limits()
    issues = []
    found = list(islice(_below(folder), limits.max_entries + 1))
    for path, depth in sorted(found):
        mode = path.lstat().st_mode
        name = _shown(path.relative_to(folder).as_posix())
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            issues.append(Issue(name, f"This is {_file_type(mode)}; crates hold only files."))
        elif depth > _MAX_PARTS:
            issues.append(Issue(name, _TOO_DEEP))
    if len(found) > limits.max_entries:
        issues.append(Issue("", f"There are more than {limits.max_entries} files."))
    return tuple(issues)


def _below(folder: Path) -> Iterator[tuple[Path, int]]:
    """Yield everything in a folder with its depth, down to the first level that is too deep."""
    waiting = [(folder, 1)]
    while waiting:
        above, depth = waiting.pop()
        with suppress(PermissionError), os.scandir(above) as entries:
            for entry in entries:
                path = Path(entry.path)
                yield path, depth
                if depth <= _MAX_PARTS and entry.is_dir(follow_symlinks=False):
                    waiting.append((path, depth + 1))


def unpack(
    path: Path, into: Path, limits: Limits | None = None, *, only: Callable[[str], bool] = lambda _: True
) -> None:
    """Unpack a zip into `into`, which must be empty or not exist yet.

    Parameters
    ----------
    only
        Returns True for the names to unpack; the whole zip must be safe in any case.

    Raises
    ------
    CrateError
        If the zip is unsafe or damaged; nothing is left in `into` then.
    NoSpace
        If it does not fit on the file system; nothing is left then either.
    UsageError
        If `into` holds something already.
    """
    limits = limits or Limits()
    if into.exists() and (not into.is_dir() or any(into.iterdir())):
        raise UsageError(f"{into} is not an empty folder.", hint="Name a folder that is empty or does not exist yet.")
    with _opened(path, limits) as archive:
        issues = _directory_issues(archive, path.stat().st_size, limits)
        if issues:
            hint = _TRUSTED if all(i.path == "" for i in issues) else "Do not unpack it. " + _AGAIN
            raise CrateError(f"{path} is not safe to unpack: {first_issues(issues)}", issues, hint=hint)
        existed = into.exists()
        try:
            into.mkdir(parents=True, exist_ok=True)
            wanted = [info for info in archive.infolist() if only(info.filename)]
            _check_space(wanted, into)
            _check_names(archive, into)
            for info in wanted:
                _extract(archive, info, into)
        except BaseException as error:
            clear(into, remove=not existed)
            if isinstance(error, OSError):
                raise (
                    _no_space(into) if error.errno in (errno.ENOSPC, errno.EDQUOT) else _unwritable(into, error)
                ) from error
            raise


@contextmanager
def _opened(path: Path, limits: Limits) -> Iterator[zipfile.ZipFile]:
    """Open a zip; every error of a damaged zip becomes a CrateError."""
    if kind := special_kind(path):
        raise UsageError(f"{path} is {kind}.", hint="A crate is a zip file or a folder.")
    if path.suffix == ".ipynb" and path.is_file():
        raise UsageError(
            f"{path} is a notebook and no crate.",
            hint=f"'casaprov export {shlex.quote(str(path))} -o FILE.zip' makes one of it.",
        )
    try:
        _check_ends(path, limits)
        with zipfile.ZipFile(path) as archive:
            yield archive
    except FileNotFoundError as error:
        raise UsageError(f"There is no crate {path}.", hint="Check the name.") from error
    except (IsADirectoryError, PermissionError) as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.", hint="Give a crate that you may read.") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError, OSError) as error:
        raise CrateError(f"{path} is no zip file, or it is truncated or damaged ({error}).", hint=_AGAIN) from error


def _check_ends(path: Path, limits: Limits) -> None:
    """Refuse a zip with foreign bytes at its ends, or with a directory that is too large even to be read.

    zipfile reads all of the directory when it opens a zip, and skips what stands before and behind.
    """
    with path.open("rb") as file:
        begin = file.read(4)
        file.seek(max(0, path.stat().st_size - _END_BYTES))
        end = file.read()
        at = end.rfind(b"PK\x05\x06")
        if at < 0 or len(end) < at + 22:
            return  # no zip: zipfile raises when it opens it
        size, _, comment = struct.unpack_from("<IIH", end, at + 12)
        if at >= 20 and end[at - 20 : at - 16] == b"PK\x06\x07":
            (offset,) = struct.unpack_from("<Q", end, at - 12)
            file.seek(offset)
            record = file.read(56)
            size = struct.unpack_from("<Q", record, 40)[0] if len(record) == 56 else size
    message, hint = "", _AGAIN
    if size > limits.max_entries * _ENTRY_BYTES:
        message, hint = f"Its directory takes {size} bytes: more than {limits.max_entries} entries.", _TRUSTED
    elif begin not in (b"PK\x03\x04", b"PK\x05\x06"):
        message = "It begins with bytes that belong to no entry, such as a program."
    elif len(end) - at - 22 > comment:
        message = f"{len(end) - at - 22 - comment} bytes stand behind its end."
    elif not _COMMENT.fullmatch(end[at + 22 :]):
        message = "Its comment is no text."
    if message:
        raise CrateError(f"{path} is not safe to unpack: {message}", (Issue("", message),), hint=hint)


def _directory_issues(archive: zipfile.ZipFile, archive_bytes: int, limits: Limits) -> tuple[Issue, ...]:
    """Return the issues of a zip's directory, at most 100."""
    return tuple(islice(_all_directory_issues(archive, archive_bytes, limits), _MAX_ISSUES))


def _all_directory_issues(archive: zipfile.ZipFile, archive_bytes: int, limits: Limits) -> Iterator[Issue]:
    infos = archive.infolist()
    if len(infos) > limits.max_entries:
        yield Issue("", f"It has {len(infos)} entries; casaprov unpacks up to {limits.max_entries}.")
        return
    total = sum(info.file_size for info in infos)
    if total > limits.max_total_bytes:
        yield Issue("", f"It would unpack to {total} bytes; casaprov unpacks up to {limits.max_total_bytes}.")
    if total > limits.ratio_from_bytes and total > limits.max_ratio * archive_bytes:
        yield Issue("", f"Its {archive_bytes} bytes would unpack to {total}, as in a zip bomb.")
    for info in infos:
        yield from (Issue(_shown(info.orig_filename), problem) for problem in _entry_problems(info))
    yield from _clashes(infos)
    yield from _foreign_bytes(archive)


def _entry_problems(info: zipfile.ZipInfo) -> Iterator[str]:
    mode = info.external_attr >> 16
    if problem := name_problem(info.orig_filename):
        yield f"The name {problem}."
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        yield f"This is {_file_type(mode)}; crates hold only files."
    if info.flag_bits & 0x41:
        yield "It is encrypted."
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        yield "It is compressed in a way other than deflate."
    if info.is_dir() and info.file_size:
        yield "It is a folder with content of its own."


def _clashes(infos: list[zipfile.ZipInfo]) -> Iterator[Issue]:
    """Yield an issue for each name that occurs twice or is both file and folder, and for entries that share bytes."""
    seen: set[str] = set()
    for info in infos:
        name = info.filename.removesuffix("/")
        if name in seen:
            yield Issue(_shown(info.orig_filename), "The name occurs more than once.")
        seen.add(name)
    files = {info.filename for info in infos if not info.is_dir()}
    above = ""
    # Sorted with "/" before every other character, the names below a name follow it directly.
    for name in sorted(seen, key=lambda name: name.replace("/", "\0")):
        if above and name.startswith(above):
            yield Issue(_shown(name), "A folder above it is a file at the same time.")
        elif name in files:
            above = f"{name}/"
    end = 0
    for info in sorted(infos, key=lambda i: i.header_offset):
        if info.header_offset < end:
            yield Issue(_shown(info.orig_filename), "Its bytes overlap those of another entry, as in a zip bomb.")
        end = info.header_offset + 30 + len(info.orig_filename) + info.compress_size


def _foreign_bytes(archive: zipfile.ZipFile) -> Iterator[Issue]:
    """Yield an issue for bytes before, between or behind the entries that belong to none, such as another zip."""
    file = archive.fp
    if file is None:
        return
    end = 0
    for info in sorted(archive.infolist(), key=lambda i: i.header_offset):
        if info.header_offset - end > (_DESCRIPTOR_BYTES if end else 0):
            yield Issue(_shown(info.orig_filename), f"Before it stand {info.header_offset - end} bytes of no entry.")
        file.seek(info.header_offset)
        header = file.read(30)
        if len(header) < 30 or header[:4] != b"PK\x03\x04":
            yield Issue(_shown(info.orig_filename), "It does not begin where the directory says.")
            return
        name, extra = struct.unpack_from("<HH", header, 26)
        end = info.header_offset + 30 + name + extra + info.compress_size
    if archive.start_dir - end > (_DESCRIPTOR_BYTES if end else 0):
        yield Issue("", f"{archive.start_dir - end} bytes behind its last entry belong to none.")


def _shown(name: str) -> str:
    return name if len(name) <= 300 else name[:300] + "…"


def _file_type(mode: int) -> str:
    return "a link" if stat.S_ISLNK(mode) else "a device, pipe or socket"


def _check_space(wanted: Iterable[zipfile.ZipInfo], into: Path) -> None:
    if sum(info.file_size for info in wanted) > shutil.disk_usage(into).free:
        raise _no_space(into)


def _check_names(archive: zipfile.ZipFile, into: Path) -> None:
    """Refuse names that are one name on the disk of `into`."""
    found = clashes(info.filename.removesuffix("/") for info in archive.infolist())
    if not found or not _takes_for_one(into, *found[0]):
        return
    named = "; ".join(f"{_shown(one)} and {_shown(other)}" for one, other in found[:_MOST_NAMED])
    more = f"; and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
    raise CrateError(
        f"The disk of {into} does not tell names of this crate apart: {named}{more}.",
        hint="Unpack it on a disk that does, for example on Linux.",
    )


def _takes_for_one(folder: Path, one: str, other: str) -> bool:
    """Try two names in an empty folder; return True if its disk takes them for one."""
    first, second = (folder / PurePosixPath(name).name for name in (one, other))
    first.touch()
    try:
        return second.exists()
    finally:
        first.unlink()


def _extract(archive: zipfile.ZipFile, info: zipfile.ZipInfo, into: Path) -> None:
    target = into / info.filename
    if info.is_dir():
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    # "x": a file that exists already is a clash that the test of the directory did not see.
    with archive.open(info) as source, target.open("xb") as sink:
        while data := source.read(_CHUNK):
            written += len(data)
            sink.write(data)
    if written != info.file_size:
        raise zipfile.BadZipFile(f"{info.filename} holds {written} bytes, not the {info.file_size} it declares")
    target.chmod(0o644)


def clear(folder: Path, *, remove: bool) -> None:
    """Empty a folder, and remove the folder itself if `remove`."""
    for child in folder.iterdir() if folder.is_dir() else ():
        if child.is_dir() and not child.is_symlink():
            shutil.rmtree(child, ignore_errors=True)
        else:
            child.unlink(missing_ok=True)
    if remove and folder.is_dir():
        folder.rmdir()


def _no_space(into: Path) -> NoSpace:
    hint = "Free some space, or name a folder on another disk."
    return NoSpace(f"There is not enough space left to unpack the crate into {into}.", hint=hint)


def _unwritable(into: Path, error: OSError) -> CrateError:
    hint = "Name a folder that you may write to."
    return CrateError(f"The crate cannot be unpacked into {into}: {error.strerror or error}.", hint=hint)
