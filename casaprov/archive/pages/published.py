"""Base of the handlers for readers: only published crates are found, and withdrawn ones leave a tombstone."""

from __future__ import annotations

import re

from casaprov.archive.deposits import Deposit, State
from casaprov.archive.web.handler import ArchiveHandler
from casaprov.archive.web.problems import Problem

__all__ = ["NAME", "VERSION", "PublicHandler"]

NAME = r"/crates/([^/]+)-([0-9]{4,9})"
"""Pattern of the path of a crate: obs_id and number."""

VERSION = NAME + r"/v([0-9]{1,9})"
"""Pattern of the path of a version."""

_OBS_ID = re.compile(r"[ -~]{1,64}")
_THERE_IS_NONE = "There is no such crate, or it is not public yet."


class PublicHandler(ArchiveHandler):
    """A handler that serves everybody the same, with or without a token."""

    async def public_versions(self, obs_id: str, number: str) -> tuple[Deposit, ...]:
        """Return the versions of a crate that are or were public, in order; 404 if there are none."""
        if not _OBS_ID.fullmatch(obs_id):
            raise Problem(404, _THERE_IS_NONE)
        found = await self.in_thread(self.archive.repository.versions, obs_id, int(number))
        public = tuple(deposit for deposit in found if was_public(deposit))
        if not public:
            raise Problem(404, _THERE_IS_NONE)
        return public

    async def public_version(self, obs_id: str, number: str, version: str | None) -> Deposit:
        """Return a version that is or was public, by default the newest that is; 404 if there is none."""
        return _chosen(await self.public_versions(obs_id, number), version)

    async def readable_version(self, obs_id: str, number: str, version: str) -> Deposit:
        """Return a version that is public; 410 for one that was withdrawn, 404 for all others."""
        deposit = await self.public_version(obs_id, number, version)
        if deposit.state is State.WITHDRAWN:
            reason = f" Reason: {deposit.reason}" if deposit.reason else ""
            raise Problem(410, f"{deposit.name}, version {deposit.version}, was withdrawn.{reason}")
        return deposit


def was_public(deposit: Deposit) -> bool:
    """Return True for a deposit that is published, or was before it was withdrawn."""
    return deposit.published_at is not None and deposit.state in (State.PUBLISHED, State.WITHDRAWN)


def _chosen(public: tuple[Deposit, ...], version: str | None) -> Deposit:
    if version is None:
        readable = [deposit for deposit in public if deposit.state is State.PUBLISHED]
        return (readable or public)[-1]
    for deposit in public:
        if deposit.version == int(version):
            return deposit
    raise Problem(404, _THERE_IS_NONE)
