"""Names of accounts in texts: in paths outside of the home folder, beside machines, and where a system shows them.

A name may be a word as well, so it is masked only where an account is meant.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from casaprov.records.home_folder import ACCOUNT, part_of_path

__all__ = ["Accounts", "longest_first"]

_NO_WORD = re.compile(r"(?=.*[\d._-])\w[\w.-]{4,}")
_BARE = r"[^\s'\"<>|;:,()\[\]{}*?!\\`]*"
_PATHS = re.compile(
    r"\b(?!file:)[A-Za-z][\w+.-]*://[^\s'\"<>]*"  # the path of a URL is none of this machine
    r"|(?P<path>\A/[^'\"\n]*\Z|(?<=['\"])/[^'\"\n]*(?=['\"])"  # with spaces
    rf"|(?:(?<![\w.~/:-])/{{1,2}}|(?<=:)/(?!/)|(?<=file://)/)(?!/){_BARE}|(?<![\w./~-])(?:\.\./)+{_BARE})"
)
_BEFORE = (
    r"(?P<before>\b(?:USER|LOGNAME|USERNAME)=|['\"](?:USER|LOGNAME|USERNAME)['\"]: ['\"]|\buid=\d+\("
    r"|^[-dlbcps](?:[r-][w-][xsStT-]){3}[.+@]? +\d+ +"  # ls -l
    r"|\b(?:(?i:user|username|login|account|owner))\s?[:=]\s?['\"]?)"
)


@dataclass(frozen=True)
class Accounts:
    """Names of accounts, and where they stand.

    Attributes
    ----------
    users
        The names.
    hosts
        Names of machines that stand behind ``@``.
    folders
        Folders of the sessions. The paths below them are masked no further: a record has them without the folder, too.
    """

    users: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()

    def masked(self, text: str) -> str:
        """Return a text with :data:`ACCOUNT` in place of the names."""
        if not any(user in text for user in self.users):
            return text
        text = _PATHS.sub(lambda match: self._in_path(match["path"]) if match["path"] else match[0], text)
        return self._contexts.sub(lambda match: f"{match['before'] or ''}{ACCOUNT}", text)

    @cached_property
    def _parts(self) -> tuple[re.Pattern[str], ...]:
        return tuple(map(part_of_path, self.users))

    @cached_property
    def _contexts(self) -> re.Pattern[str]:
        names = "|".join(map(re.escape, self.users))
        # A short name of the machine, as prompts have it, too.
        machines = sorted({re.escape(part) for host in self.hosts for part in (host, host.partition(".")[0])})
        known = "".join(rf"{machine}(?![\w-])|" for machine in machines)
        # An address of e-mail is no account of a machine: one without a dot, with a digit, or with a path behind it is.
        beside = rf"(?<![\w.-])(?:{names})(?=@(?:{known}[\w-]*\d[\w-]*(?![\w-]|\.\w)|[\w.-]+:[/~]))"
        shell = rf"(?<=(?<![\w/~.-])~)(?:{names})(?![\w.-])"
        alone = [rf"(?<![\w./~-]){re.escape(user)}(?![\w/-])" for user in self.users if _NO_WORD.fullmatch(user)]
        end = r"(?![\w-]|\.\w)"
        return re.compile("|".join((rf"{_BEFORE}(?:{names}){end}", beside, shell, *alone)), re.MULTILINE)

    def _in_path(self, path: str) -> str:
        below = next((one for one in self.folders if path == one or path.startswith(f"{one}/")), None)
        if below is not None:
            return self._in_parts(below) + path[len(below) :]
        return self._in_parts(path)

    def _in_parts(self, path: str) -> str:
        return "/".join(map(self._in_part, path.split("/")))

    def _in_part(self, part: str) -> str:
        # The name of a file or a data set leads to it elsewhere, too: anna-2.ms stays.
        name = part.strip(".")
        if not name or "." in name:
            return part
        masked = name
        for pattern in self._parts:
            masked = pattern.sub(ACCOUNT, masked)
        return part.replace(name, masked)


def longest_first(folders: Iterable[str]) -> tuple[str, ...]:
    """Return folders so that one comes before those that it lies in."""
    return tuple(sorted({folder.rstrip("/") for folder in folders} - {""}, key=lambda one: (-len(one), one)))
