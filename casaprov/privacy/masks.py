"""Masks: texts that are replaced alike in every text, JSON value and file of a crate."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from casaprov.hashing import Digest
from casaprov.privacy.accounts import Accounts, longest_first
from casaprov.privacy.split import with_masks
from casaprov.records.home_folder import HOME

__all__ = ["Masks", "mask_of"]

_WORD = "REDACTED"
_MACHINE = "localhost"


def mask_of(secret: str) -> str:
    """Return the text in place of a secret: of the same length, so that it fits into tables and FITS headers."""
    return (_WORD + "*" * len(secret))[: len(secret)]


@dataclass(frozen=True)
class Masks:
    """Texts and the masks that take their place.

    Attributes
    ----------
    secrets
        Values that no file of the crate may hold.
    homes
        Home folders; they become :data:`casaprov.records.home_folder.HOME` in texts. Tables and FITS files keep them.
    hosts
        Names of machines, in logs and outputs.
    users
        Names of accounts, in texts, where an account is meant (:mod:`casaprov.privacy.accounts`); those that are no
        word, such as ``jdoe12``, everywhere.
    folders
        Folders of the sessions: a path below them is masked up to there.
    digests
        Digests of what was masked, by those of the originals.
    """

    secrets: frozenset[str] = frozenset()
    homes: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    digests: Mapping[Digest, Digest] = field(default_factory=dict)

    @cached_property
    def _replacements(self) -> dict[str, str]:
        return {
            **{secret: mask_of(secret) for secret in self.secrets},
            **dict.fromkeys(self.homes, HOME),
            **dict.fromkeys(self.hosts, _MACHINE),
            **{str(old): str(new) for old, new in self.digests.items()},
        }

    @cached_property
    def _pattern(self) -> re.Pattern[str] | None:
        # Longest first: a password may be a part of another. A folder ends where its name does: /home/me is not /home/mel.
        plain = sorted((*self.secrets, *map(str, self.digests)), key=len, reverse=True)
        parts = [re.escape(text) for text in plain]
        folders = sorted(self.homes, key=len, reverse=True)
        parts += [rf"(?<![\w.~-]){re.escape(home)}(?![\w.-])" for home in folders]
        parts += [rf"(?<![\w.-]){re.escape(host)}(?![\w-])" for host in self.hosts]
        return re.compile("|".join(parts)) if parts else None

    def text(self, text: str) -> str:
        """Return a text with its masks."""
        return self._accounts.masked(self._with_fixed(text))

    @cached_property
    def _accounts(self) -> Accounts:
        folders = longest_first(map(self._with_fixed, self.folders))
        return Accounts(self.users, (*self.hosts, *([_MACHINE] if self.hosts else [])), folders)

    def _with_fixed(self, text: str) -> str:
        # Most texts have none: looking for the fixed texts is faster than the pattern.
        if self._pattern is None or not any(known in text for known in self._replacements):
            return text
        return self._pattern.sub(lambda match: self._replacements[match[0]], text)

    def json(self, value: Any, *, lines: bool = False) -> Any:
        """Return a JSON value with masks in all strings and keys.

        Parameters
        ----------
        lines
            A list of strings may be the lines of one text, as in notebooks.
        """
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(key): self.json(member, lines=lines) for key, member in value.items()}
        if isinstance(value, list):
            if lines and value and all(isinstance(one, str) for one in value):
                each, masked = [self.text(one) for one in value], self.text("".join(value))
                return each if "".join(each) == masked else masked.splitlines(keepends=True)
            return [self.json(member, lines=lines) for member in value]
        return value

    def binary(self, data: bytes, *, wrapped: bool = False) -> bytes:
        """Return bytes with masks of the same length in place of secrets.

        Parameters
        ----------
        wrapped
            Secrets may be split (:func:`casaprov.privacy.split.is_wrapped`).
        """
        secrets = sorted(self.secrets, key=len, reverse=True)
        for secret in secrets:
            data = data.replace(secret.encode(), mask_of(secret).encode())
        return with_masks(data, [(secret, mask_of(secret)) for secret in secrets]) if wrapped else data

    def with_digests(self, digests: Iterable[tuple[Digest, Digest]]) -> Masks:
        """Return masks that replace these digests too, where they differ."""
        added = {old: new for old, new in digests if old != new}
        return replace(self, digests={**self.digests, **added})
