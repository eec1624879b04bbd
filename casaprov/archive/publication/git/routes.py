"""Git over HTTP: clones by its plain-files protocol, and the two addresses of Gitea that the existing plugin reads."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

from casaprov.archive.publication.git.repositories import BRANCH, Listed, Repositories
from casaprov.archive.web.handler import ArchiveHandler
from casaprov.archive.web.problems import Problem

__all__ = ["Clone", "Contents", "Raw"]

_OBJECT = re.compile(r"objects/(?:[0-9a-f]{2}/[0-9a-f]{38}|pack/pack-[0-9a-f]{40}\.(?:pack|idx))")
_NOT_THERE = "Nothing is published of this observation."


class _GitHandler(ArchiveHandler):
    def repositories(self) -> Repositories:
        """Return the archive's repositories."""
        return Repositories(self.archive.settings.git)

    def for_everybody(self) -> None:
        """Let programs in other pages read this: it is public, and the same for everybody."""
        self.set_header("Access-Control-Allow-Origin", "*")


class Clone(_GitHandler):
    """``/git/{obs_id}.git/…``: files of the repository, from which git clones without a server of its own."""

    async def get(self, obs_id: str, path: str) -> None:
        """Answer with a file of the repository."""
        folder = await self.in_thread(self.repositories().folder, obs_id)
        if folder is None:
            raise Problem(404, _NOT_THERE)
        body = await self.in_thread(self._body, obs_id, folder, path)
        if body is None:
            raise Problem(404, "There is no such file in this repository.")
        self.set_header("Content-Type", "application/octet-stream" if _OBJECT.fullmatch(path) else "text/plain")
        self.set_header("Cache-Control", "public, max-age=31536000" if _OBJECT.fullmatch(path) else "no-cache")
        _ = self.finish(body)

    head = get

    def _body(self, obs_id: str, folder: Path, path: str) -> bytes | None:
        if path == "HEAD":
            return b"ref: " + BRANCH + b"\n"
        if path == "info/refs":
            head = self.repositories().head(obs_id)
            return b"" if head is None else head.encode() + b"\t" + BRANCH + b"\n"
        if path == "objects/info/packs":
            packs = sorted((folder / "objects" / "pack").glob("pack-*.pack"))
            return b"".join(b"P " + pack.name.encode() + b"\n" for pack in packs) + b"\n"
        if not _OBJECT.fullmatch(path):
            return None
        try:
            return (folder / path).read_bytes()
        except FileNotFoundError:
            return None


class Contents(_GitHandler):
    """``/api/v1/repos/{owner}/{obs_id}/contents``: the files of an observation, as Gitea lists them."""

    async def get(self, owner: str, obs_id: str) -> None:
        """Answer with the list."""
        settings = self.archive.settings
        found = await self.in_thread(self.repositories().listed, obs_id) if owner == settings.gitea.owner else None
        if found is None:
            raise Problem(404, _NOT_THERE)
        self.for_everybody()
        self.write_json([self._entry(owner, obs_id, listed) for listed in found])

    head = get

    def _entry(self, owner: str, obs_id: str, listed: Listed) -> dict[str, Any]:
        url = self.archive.settings.url
        repository = f"{quote(owner)}/{quote(obs_id)}"
        path = quote(listed.path)
        raw = f"{url}/{repository}/raw/branch/master/{path}"
        own = f"{url}/api/v1/repos/{repository}/contents/{path}?ref=master"
        blob = f"{url}/api/v1/repos/{repository}/git/blobs/{listed.blob}"
        return {
            "name": listed.path,
            "path": listed.path,
            "sha": listed.blob,
            "last_commit_sha": listed.commit,
            "type": "file",
            "size": listed.size_bytes,
            "encoding": None,
            "content": None,
            "target": None,
            "url": own,
            "html_url": raw,
            "git_url": blob,
            "download_url": raw,
            "submodule_git_url": None,
            "_links": {"self": own, "git": blob, "html": raw},
        }


class Raw(_GitHandler):
    """``/{owner}/{obs_id}/raw/branch/master/{path}``: a notebook."""

    async def get(self, owner: str, obs_id: str, path: str) -> None:
        """Answer with the bytes of the notebook."""
        known = owner == self.archive.settings.gitea.owner
        body = await self.in_thread(self.repositories().read, obs_id, path) if known else None
        if body is None:
            raise Problem(404, "There is no such notebook.")
        self.for_everybody()
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.set_header("Content-Disposition", "attachment")
        self.set_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
        _ = self.finish(body)

    head = get
