"""The landing page of a crate, and its tombstone."""

from __future__ import annotations

import logging
import zipfile
from typing import Any
from urllib.parse import quote

from casaprov.archive.deposits import Deposit, Kind, State
from casaprov.archive.pages.citation import citation
from casaprov.archive.pages.published import PublicHandler
from casaprov.archive.pages.rendering import PAGE_POLICY, render
from casaprov.archive.publication.git.repositories import Repositories
from casaprov.archive.publication.metadata.addresses import (
    clone_url,
    crate_path,
    license_url,
    persistent_url,
)
from casaprov.archive.publication.metadata.datacite import creators, orcid_url
from casaprov.archive.publication.metadata.linkset import link_header, links_of

__all__ = ["Landing"]

_PREVIEWS = 6
_PICTURES = (".png", ".jpg", ".jpeg")
_MOST_NAMES = 200

_log = logging.getLogger(__name__)


class Landing(PublicHandler):
    """``/crates/{obs_id}-{nnnn}`` shows the newest version, ``/v{n}`` a certain one."""

    async def get(self, obs_id: str, number: str, version: str | None = None) -> None:
        """Answer with the page, or with 410 and the tombstone."""
        public = await self.public_versions(obs_id, number)
        deposit = await self.public_version(obs_id, number, version)
        withdrawn = deposit.state is State.WITHDRAWN
        values = self._values(deposit, public)
        if not withdrawn:
            values["content"] = await self.in_thread(self._content, deposit)
            self.set_header("Link", link_header(links_of(self.archive.settings, deposit)))
        page = await self.in_thread(lambda: render("tombstone" if withdrawn else "landing", **values))
        self.set_status(410 if withdrawn else 200)
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.set_header("Content-Security-Policy", PAGE_POLICY)
        _ = self.finish(page)

    head = get

    def _values(self, deposit: Deposit, public: tuple[Deposit, ...]) -> dict[str, Any]:
        settings = self.archive.settings
        newest = next((d for d in reversed(public) if d.state is State.PUBLISHED), deposit)
        return {
            "archive": settings,
            "deposit": deposit,
            "title": deposit.title or deposit.filename or deposit.name,
            "crate": deposit.kind is Kind.CRATE,
            "about": deposit.about,
            "authors": [{"name": c["name"], "url": orcid_url(c)} for c in creators(deposit)],
            "base": crate_path(deposit),
            "cite_as": persistent_url(settings, deposit),
            "citation": citation(settings, deposit),
            "license_url": license_url(deposit.license),
            "versions": [(other, crate_path(other)) for other in reversed(public)],
            "newer": crate_path(newest) if newest.version > deposit.version else "",
            "clone_url": clone_url(settings, deposit.obs_id),
            "verdicts": list(reversed(deposit.verdicts)),
        }

    def _content(self, deposit: Deposit) -> dict[str, Any]:
        """Return the commit in git, the files of a crate, and those of its pictures that are shown."""
        commit = Repositories(self.archive.settings.git).commit_of(deposit)
        if deposit.kind is not Kind.CRATE:
            return {"commit": commit, "files": [], "more": 0, "pictures": []}
        with zipfile.ZipFile(self.archive.storage.path(deposit.did, deposit.content_name)) as archive:
            infos = [info for info in archive.infolist() if not info.is_dir()]
        base = crate_path(deposit)
        listed: list[dict[str, Any]] = [
            {"name": i.filename, "size": i.file_size, "url": f"{base}/files/{quote(i.filename)}"}
            for i in sorted(infos, key=lambda info: info.filename)
        ]
        first = deposit.about.get("preview")
        pictures = [entry for entry in listed if entry["name"].lower().endswith(_PICTURES)]
        pictures.sort(key=lambda entry: entry["name"] != first)
        return {
            "commit": commit,
            "files": listed[:_MOST_NAMES],
            "more": max(0, len(listed) - _MOST_NAMES),
            "pictures": pictures[:_PREVIEWS],
        }
