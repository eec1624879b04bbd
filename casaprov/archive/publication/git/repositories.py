"""Git: one bare repository for each observation, with the notebooks of its published crates on ``master``.

A commit names its deposit in its last lines, so that the history itself says what was done already: nothing is
committed twice after a crash. One process at a time writes a repository. A killed one may leave ``.lock`` files of git,
which the next one removes: it holds the lock that all of them take.
"""

from __future__ import annotations

import fcntl
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from dulwich.objects import Blob, Commit, ObjectID, Tree
from dulwich.refs import HEADREF, Ref
from dulwich.repo import Repo

from casaprov.archive.deposits import Deposit, Kind
from casaprov.archive.publication.metadata.datacite import UNKNOWN_CREATOR, creators
from casaprov.errors import CrateError

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["BRANCH", "Listed", "Repositories", "is_name", "notebook_of"]

BRANCH = Ref(b"refs/heads/master")
"""The only branch; the existing plugin reads ``master``."""

_FILE = 0o100644
_MAX_NOTEBOOK = 256 * 2**20
_NAME = re.compile(r"[A-Za-z0-9_+-][A-Za-z0-9_+.-]{0,63}")
_LONGEST = 150  # characters of a file name
_ARCHIVE = "casaprov archive"


def is_name(obs_id: str) -> bool:
    """Return True if an obs_id can be the name of a repository."""
    return _NAME.fullmatch(obs_id) is not None


@dataclass(frozen=True)
class Listed:
    """A file on the branch."""

    path: str
    blob: str
    size_bytes: int
    commit: str


@dataclass(frozen=True)
class _Entry:
    """One commit, as its last lines say."""

    commit: ObjectID
    deposit: str
    crate: str
    version: int
    path: str
    withdrawn: bool


class Repositories:
    """The repositories in a folder; a :class:`casaprov.archive.publishing.Publication`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    # Publication

    def prepare(self, deposit: Deposit, content: Path) -> None:
        """Commit the notebook of a deposit, unless the branch has it."""
        with self._locked(deposit.obs_id):
            repo = self._opened(deposit.obs_id, create=True)
            assert repo is not None
            with repo:
                there = _there(repo, deposit.name)
                if any(entry.deposit == deposit.id for entry in there):
                    return
                files = _files(repo)
                path = there[0].path if there else _free_path(deposit, files)
                blob = Blob.from_string(notebook_of(deposit, content))
                repo.object_store.add_object(blob)
                title = " ".join((deposit.title or deposit.filename).split())[:200]
                title = f"{deposit.name} v{deposit.version}: {title}"
                lines, author = _lines(deposit, path), creators(deposit)[0]["name"]
                before = _head(repo)
                commit = _commit(repo, before, {**files, path: blob.id}, deposit, title, lines, author)
                newest = max((entry.version for entry in there), default=0)
                if newest > deposit.version:  # its embargo ended later: the branch stays at the newest
                    title = f"{deposit.name} v{newest} is the newest version"
                    commit = _commit(repo, commit, files, deposit, title, {"Path": path})
                _advance(repo, deposit.obs_id, before, commit)

    def record(self, connection: Connection, deposit: Deposit) -> None:
        """Write nothing: git has no part in the transaction."""

    def withdraw(self, deposit: Deposit) -> None:
        """Remove the notebook of a deposit from the branch, or put that of the version before in its place."""
        with self._locked(deposit.obs_id):
            repo = self._opened(deposit.obs_id)
            if repo is None:
                return
            with repo:
                there = _there(repo, deposit.name)
                if deposit.id not in {entry.deposit for entry in there}:
                    return
                files = _files(repo)
                left = [entry for entry in there if entry.deposit != deposit.id]
                path = there[0].path
                files.pop(path, None)
                if left:
                    newest = max(left, key=lambda entry: entry.version)
                    path = newest.path
                    files[path] = _tree_of(repo, newest.commit)[path]
                title = f"Withdraw {deposit.name} v{deposit.version}"
                lines, author = {**_lines(deposit, path), "Withdrawn": "yes"}, creators(deposit)[0]["name"]
                before = _head(repo)
                commit = _commit(repo, before, files, deposit, title, lines, author)
                _advance(repo, deposit.obs_id, before, commit)

    def mend(self) -> None:
        """Remove repositories that a kill left half made; nothing may be publishing meanwhile."""
        for left in self.root.glob(".new-*"):
            shutil.rmtree(left, ignore_errors=True)

    # Reading

    def listed(self, obs_id: str) -> tuple[Listed, ...] | None:
        """Return the files on the branch of an observation; None if nothing was published of it."""
        repo = self._opened(obs_id)
        if repo is None:
            return None
        with repo:
            last: dict[str, str] = {}
            for entry in _history(repo):
                last.setdefault(entry.path, entry.commit.decode())
            return tuple(
                Listed(name, blob.decode(), repo[blob].raw_length(), last.get(name, ""))
                for name, blob in sorted(_files(repo).items())
            )

    def read(self, obs_id: str, path: str) -> bytes | None:
        """Return a file on the branch; None if there is none."""
        repo = self._opened(obs_id)
        if repo is None:
            return None
        with repo:
            blob = _files(repo).get(path)
            return None if blob is None else repo[blob].as_raw_string()

    def head(self, obs_id: str) -> str | None:
        """Return the commit that the branch is at; None if there is no repository."""
        repo = self._opened(obs_id)
        if repo is None:
            return None
        with repo:
            found = _head(repo)
            return found.decode() if found else None

    def commit_of(self, deposit: Deposit) -> str:
        """Return the commit that published a deposit; empty if there is none."""
        repo = self._opened(deposit.obs_id)
        if repo is None:
            return ""
        with repo:
            found = (e.commit.decode() for e in _history(repo) if e.deposit == deposit.id and not e.withdrawn)
            return next(found, "")

    def folder(self, obs_id: str) -> Path | None:
        """Return the folder of a repository; None if there is none."""
        path = self.root / f"{obs_id}.git"
        return path if is_name(obs_id) and path.is_dir() else None

    # The repository

    def _opened(self, obs_id: str, *, create: bool = False) -> Repo | None:
        if not is_name(obs_id):
            return None
        path = self.root / f"{obs_id}.git"
        if not path.is_dir():
            if not create:
                return None
            self._make(path)
        return Repo(str(path))

    def _make(self, path: Path) -> None:
        """Make a repository beside its place, and rename it there as a whole."""
        with tempfile.TemporaryDirectory(prefix=".new-", dir=self.root) as beside:
            with Repo.init_bare(beside, default_branch=b"master") as repo:
                config = repo.get_config()
                config.set(b"core", b"fsyncObjectFiles", b"true")
                config.write_to_path()
                repo.refs.set_symbolic_ref(HEADREF, BRANCH)
            shutil.copytree(beside, f"{beside}.git")
            Path(f"{beside}.git").rename(path)

    @contextmanager
    def _locked(self, obs_id: str) -> Iterator[None]:
        if not is_name(obs_id):
            raise CrateError(f"{obs_id!r} cannot be the name of a git repository.", hint="Rename the observation.")
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / f".{obs_id}.lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            for left in (self.root / f"{obs_id}.git").rglob("*.lock"):
                left.unlink(missing_ok=True)
            yield


def _head(repo: Repo) -> ObjectID | None:
    """Return the commit that the branch is at; None before the first one."""
    try:
        return repo.refs[BRANCH]
    except KeyError:
        return None


def _history(repo: Repo) -> Iterator[_Entry]:
    """Yield the commits of the branch, the newest first."""
    at = _head(repo)
    while at is not None:
        commit = repo[at]
        assert isinstance(commit, Commit)
        _, _, last = commit.message.decode(errors="replace").rstrip().rpartition("\n\n")
        lines = dict(line.partition(": ")[::2] for line in last.splitlines())
        version = lines.get("Version", "")
        yield _Entry(
            commit=commit.id,
            deposit=lines.get("Deposit", ""),
            crate=lines.get("Crate", ""),
            version=int(version) if version.isdigit() else 0,
            path=lines.get("Path", ""),
            withdrawn="Withdrawn" in lines,
        )
        at = commit.parents[0] if commit.parents else None


def _there(repo: Repo, crate: str) -> list[_Entry]:
    """Return the commits of the versions of a crate that are on the branch, the newest first.

    A version that was withdrawn can be published again: its newest commit counts.
    """
    newest: dict[str, _Entry] = {}
    for entry in _history(repo):
        if entry.crate == crate:
            newest.setdefault(entry.deposit, entry)
    return [entry for entry in newest.values() if not entry.withdrawn]


def _files(repo: Repo) -> dict[str, ObjectID]:
    """Return the files on the branch: object ids by name."""
    head = _head(repo)
    return _tree_of(repo, head) if head else {}


def _tree_of(repo: Repo, commit_id: ObjectID) -> dict[str, ObjectID]:
    commit = repo[commit_id]
    assert isinstance(commit, Commit)
    tree = repo[commit.tree]
    assert isinstance(tree, Tree)
    return {entry.path.decode(): entry.sha for entry in tree.iteritems()}


def _lines(deposit: Deposit, path: str) -> dict[str, str]:
    """Return the last lines of a commit that publishes or withdraws a deposit."""
    lines = {"Crate": deposit.name, "Version": str(deposit.version), "Path": path, "Deposit": deposit.id}
    return lines | {"IVOID": deposit.did, "SHA-256": deposit.sha256}


def _commit(
    repo: Repo,
    parent: ObjectID | None,
    files: dict[str, ObjectID],
    deposit: Deposit,
    title: str,
    lines: Mapping[str, str],
    author: str = _ARCHIVE,
) -> ObjectID:
    """Make a commit at the time of a deposit that no branch has yet."""
    tree = Tree()
    for name, blob in files.items():
        tree.add(name.encode(), _FILE, blob)
    repo.object_store.add_object(tree)
    commit = Commit()
    commit.tree = tree.id
    commit.parents = [parent] if parent else []
    commit.author = _identity(author)
    commit.committer = _identity(_ARCHIVE)
    commit.author_time = int(deposit.received_at.timestamp())
    commit.commit_time = int(deposit.modified_at.timestamp())
    commit.author_timezone = commit.commit_timezone = 0
    commit.encoding = b"UTF-8"
    commit.message = (title + "\n\n" + "".join(f"{key}: {value}\n" for key, value in lines.items())).encode()
    repo.object_store.add_object(commit)
    return commit.id


def _advance(repo: Repo, obs_id: str, before: ObjectID | None, commit: ObjectID) -> None:
    """Put the branch from one commit to another; all before that is seen by nobody."""
    if not repo.refs.set_if_equals(BRANCH, before, commit):
        raise CrateError(f"The repository of {obs_id} was changed by another program.", hint="Try again.")


def _identity(name: str) -> bytes:
    """Return a name as git takes it; the archive gives no addresses of people away."""
    plain = " ".join(re.sub(r"[<>\x00-\x1f\x7f]", " ", "" if name == UNKNOWN_CREATOR else name).split())
    return f"{plain or 'unknown'} <>".encode(errors="replace")


def _free_path(deposit: Deposit, files: dict[str, ObjectID]) -> str:
    """Return the name for a new notebook: its own, or with the crate's number if another has it already."""
    given = deposit.about.get("notebook") if deposit.kind is Kind.CRATE else deposit.filename
    name = PurePosixPath(str(given or "")).name
    stem = re.sub(r"[^\w+ .-]", "_", name.removesuffix(".ipynb"))[:_LONGEST].strip(". ") or deposit.name
    path = f"{stem}.ipynb"
    return f"{stem}-{deposit.number:04d}.ipynb" if path in files else path


def notebook_of(deposit: Deposit, content: Path) -> bytes:
    """Return the bytes of the notebook: the deposit itself, or a member of the crate."""
    if deposit.kind is Kind.NOTEBOOK:
        return content.read_bytes()
    name = str(deposit.about.get("notebook", ""))
    try:
        with zipfile.ZipFile(content) as archive:
            if archive.getinfo(name).file_size > _MAX_NOTEBOOK:
                raise CrateError(f"The notebook of {deposit.name} is too large for git.")
            return archive.read(name)
    except KeyError as error:
        raise CrateError(f"The crate {deposit.name} holds no notebook {name!r}.") from error
