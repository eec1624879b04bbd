"""Exchanges: several products replaced at once, or none, even if this process is killed in between.

What is new is built beside what it replaces, under a name that nothing else uses. Then each pair is exchanged in one
step of the file system (``renameat2(2)``, RENAME_EXCHANGE), so that no product is ever half old and half new. What
several exchanges have done so far stands in an intent record, a file of up to three lines::

    {"changes": [[target, beside, inode before], …]}    the new products are being built
    {"built": [[inode, digest of stamps], …]}           they are exchanged now
    {"done": true}                                      all are in place; the old ones are being removed

Its writer holds a lock on it. A record without one is that of a process which was killed: :func:`recover` removes what
is left over, and takes the exchanges back if some were made and others not.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import logging
import os
import re
import secrets
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from casaprov.errors import HalfRestored
from casaprov.files.stamps import stamp
from casaprov.hashing import Digest

__all__ = ["Change", "Exchange", "recover"]

_log = logging.getLogger(__name__)

_BESIDE = re.compile(r"\.casaprov-[0-9a-f]{16}-[0-9]{1,6}")
_AT_CWD = -100
_NO_REPLACE = 1
_EXCHANGE = 2
_NO_FLAGS = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}


@dataclass(frozen=True)
class Change:
    """A product that is replaced, made or removed.

    Attributes
    ----------
    target
        Its path.
    beside
        The path at which the new one is built, and the old one is removed.
    before
        Inode of the old one; None if there is none.
    after
        Inode of the new one; None if there is none.
    stamps
        Digest of the stamps of the new one.
    """

    target: Path
    beside: Path
    before: int | None
    after: int | None = None
    stamps: Digest | None = None

    @property
    def is_made(self) -> bool:
        """True if the new state is in place."""
        if self.after is not None:
            return _inode(self.target) == self.after
        return _inode(self.target) is None and _inode(self.beside) == self.before

    @property
    def is_ready(self) -> bool:
        """True if the old state is in place, and the new one is beside it."""
        return _inode(self.target) == self.before and _inode(self.beside) == self.after

    @property
    def is_untouched(self) -> bool:
        """True if the new state, which is in place, is as it was built."""
        return self.after is None or stamp(self.target).digest == self.stamps

    def make(self) -> None:
        """Put the new state in place."""
        if self.before is not None and self.after is not None:
            _rename(self.beside, self.target, _EXCHANGE)
        elif self.after is not None:
            _rename(self.beside, self.target, _NO_REPLACE)
        elif self.before is not None:
            _rename(self.target, self.beside, _NO_REPLACE)

    def take_back(self) -> None:
        """Put the old state in place again."""
        if self.before is not None and self.after is not None:
            _rename(self.beside, self.target, _EXCHANGE)
        elif self.after is not None:
            _rename(self.target, self.beside, _NO_REPLACE)
        elif self.before is not None:
            _rename(self.beside, self.target, _NO_REPLACE)


class Exchange:
    """Replacement of several products under one intent record.

    Parameters
    ----------
    intents
        Folder of intent records.
    targets
        Paths of the products, none below another.

    Raises
    ------
    OSError
        If no record can be written.
    """

    def __init__(self, intents: Path, targets: Sequence[Path]) -> None:
        name = secrets.token_hex(8)
        intents.mkdir(parents=True, exist_ok=True)
        self.changes = tuple(
            Change(target, target.with_name(f".casaprov-{name}-{number}"), _inode(target))
            for number, target in enumerate(targets)
        )
        self._path = intents / f"{name}.json"
        self._record = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._record, fcntl.LOCK_EX)
        try:
            self._write(
                {"changes": [[str(change.target), str(change.beside), change.before] for change in self.changes]}
            )
        except BaseException:
            self._path.unlink(missing_ok=True)
            os.close(self._record)
            raise

    @contextmanager
    def building(self) -> Iterator[None]:
        """Build the new products at ``change.beside``, and exchange them when the block ends.

        If the block or an exchange fails, everything is as it was before.

        Raises
        ------
        HalfRestored
            If it fails, and what was done cannot be taken back.
        """
        try:
            yield
            self.changes = tuple(_built(change) for change in self.changes)
            self._write({"built": [[change.after, change.stamps] for change in self.changes]})
            for change in self.changes:
                change.make()
            self._write({"done": True})
        except BaseException:
            self._take_back()
            raise
        self._clean()

    def _take_back(self) -> None:
        try:
            for change in reversed(self.changes):
                if (change.before, change.after) != (None, None) and change.is_made:
                    change.take_back()
        except OSError as error:
            os.close(self._record)  # the next session tries again
            raise HalfRestored(
                f"A restored result was put back in part only ({error}).",
                hint=f"The intent record {self._path} names the files; the next session tries again.",
            ) from error
        self._clean()

    def _clean(self) -> None:
        try:
            if not [change for change in self.changes if not _removed(change.beside)]:
                self._path.unlink()
        except OSError:
            _log.info("The intent record %s was not removed.", self._path, exc_info=True)
        finally:
            os.close(self._record)

    def _write(self, line: dict[str, Any]) -> None:
        data = json.dumps(line).encode() + b"\n"
        if os.write(self._record, data) != len(data):  # the last bytes of a full disk
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))


def recover(intents: Path) -> tuple[str, ...]:
    """Complete or take back the exchanges of processes that were killed; return sentences for the user."""
    try:
        records = sorted(intents.glob("*.json"))
    except OSError:
        return ()
    return tuple(sentence for path in records if (sentence := _recovered(path)))


def _recovered(path: Path) -> str:
    try:
        record = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        fcntl.flock(record, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Race: the writer may have removed the record, and released its lock, since it was listed.
        return _settle(path, _changes_in(path)) if path.exists() else ""
    except BlockingIOError:  # its writer lives
        return ""
    except (OSError, ValueError, TypeError, LookupError) as error:
        return f"The intent record {path} cannot be followed ({error}): what it names was left as it is."
    finally:
        os.close(record)


def _settle(path: Path, changes: tuple[Change, ...]) -> str:
    """Take back exchanges of which others were not made, and remove files that are left over."""
    real = [change for change in changes if (change.before, change.after) != (None, None)]
    made = [change for change in real if change.is_made]
    sentence = ""
    if made and len(made) < len(real):
        touched = [change for change in real if not (change.is_untouched if change in made else change.is_ready)]
        if touched:
            names = ", ".join(str(change.target) for change in touched)
            sentence = f"A session was killed while it restored a result, and {names} changed since: all files stay."
        else:
            for change in reversed(made):
                change.take_back()
            names = ", ".join(str(change.target) for change in made)
            sentence = f"A session was killed while it restored a result: {names} is again as it was before."
    if not [change for change in changes if not _removed(change.beside)]:
        path.unlink(missing_ok=True)
    return sentence


def _changes_in(path: Path) -> tuple[Change, ...]:
    """Read an intent record; raise ValueError, TypeError or LookupError if it is none.

    Anybody can put a record into a folder that others download: a name which no exchange would use is refused.
    """
    # The last line of a writer that was killed may be cut.
    lines = [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]
    if not lines:
        return ()
    built = lines[1]["built"] if len(lines) > 1 else [[None, None]] * len(lines[0]["changes"])
    changes = []
    for number, ((target, beside, before), (after, stamps)) in enumerate(zip(lines[0]["changes"], built, strict=True)):
        change = Change(Path(target), Path(beside), before, after, stamps)
        if change.beside.name != f".casaprov-{path.stem}-{number}" or not _BESIDE.fullmatch(change.beside.name):
            raise ValueError(f"{beside} is no name of an exchange")
        if change.beside.parent != change.target.parent or not change.target.is_absolute():
            raise ValueError(f"{beside} is not beside {target}")
        changes.append(change)
    # Until all are built, none is exchanged; when all is done, none is taken back.
    return tuple(changes) if len(lines) == 2 else tuple(Change(c.target, c.beside, None) for c in changes)


def _built(change: Change) -> Change:
    after = _inode(change.beside)
    return Change(change.target, change.beside, change.before, after, stamp(change.beside).digest if after else None)


def _inode(path: Path) -> int | None:
    try:
        return path.lstat().st_ino
    except (FileNotFoundError, NotADirectoryError):
        return None


def _removed(path: Path) -> bool:
    """Remove a file or folder; return False if some of it is left."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, onerror=_open_and_retry)
    else:
        with suppress(OSError):
            path.unlink()
    return not os.path.lexists(path)


def _open_and_retry(remove: Callable[[str], object], path: str, _error: object) -> None:
    """Remove a file from a folder that its owner may not write, by opening the folder."""
    with suppress(OSError):
        Path(path).parent.chmod(0o700)
        if remove in (os.unlink, os.rmdir):
            remove(path)
            return
        Path(path).chmod(0o700)  # the folder could not be listed
        shutil.rmtree(path, ignore_errors=True)


def _rename(source: Path, target: Path, flags: int) -> None:
    # Code that changes files waits for records that are read from them (casaprov.recording.write_guard).
    sys.audit("os.rename", str(source), str(target), -1, -1)
    try:
        _renameat2(source, target, flags)
    except OSError as error:
        # NFS and others know no flags. A path with nothing at it can be had without them.
        if flags != _NO_REPLACE or error.errno not in _NO_FLAGS or os.path.lexists(target):
            raise
        source.rename(target)


def _renameat2(source: Path, target: Path, flags: int) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    rename = getattr(library, "renameat2", None)
    if rename is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), str(target))
    rename.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
    if rename(_AT_CWD, os.fsencode(source), _AT_CWD, os.fsencode(target), flags):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(target))
