"""The stages of a check: structure, checksums, records, profile, policy.

Everything is read as a stranger's: within limits, and nothing of it is executed.
"""

from __future__ import annotations

import calendar
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import nbformat

from casaprov.archive.deposits import Deposit, Kind
from casaprov.archive.settings import PolicySettings
from casaprov.archive.work.about import about, creators
from casaprov.crates.checking.validation import check_folder
from casaprov.crates.layout import METADATA
from casaprov.crates.stored_records import read_records
from casaprov.errors import CrateError, Issue
from casaprov.untrusted.json_file import read_json
from casaprov.untrusted.zip_file import Limits, unpack, zip_issues

__all__ = ["Checked", "check", "proprietary_until"]

_MOST_ISSUES = 100
_MOST_TEXT = 1000
_MJD_EPOCH = datetime(1858, 11, 17, tzinfo=UTC)
_TURNS = re.compile("[\u202a-\u202e\u2066-\u2069]")
_NOTEBOOK_BYTES = 100 * 2**20


@dataclass(frozen=True, kw_only=True)
class Checked:
    """The result of a check.

    Attributes
    ----------
    issues
        Reasons for a rejection; none if the deposit is sound.
    columns
        What the check found out for the deposit's row.
    """

    issues: tuple[Issue, ...] = ()
    columns: dict[str, Any] = field(default_factory=dict)


def check(deposit: Deposit, path: Path, policy: PolicySettings, scratch: Path, limits: Limits | None = None) -> Checked:
    """Check a deposited file."""
    with tempfile.TemporaryDirectory(prefix="check-", dir=scratch) as folder:
        checked = _checked(deposit, path, policy, Path(folder), limits)
        return replace(checked, issues=_shown(checked.issues, {str(path): deposit.filename, folder: "the crate"}))


def _checked(deposit: Deposit, path: Path, policy: PolicySettings, folder: Path, limits: Limits | None) -> Checked:
    if deposit.kind is Kind.NOTEBOOK:
        return _check_notebook(deposit, path, policy)
    if issues := zip_issues(path, limits):
        return Checked(issues=issues)
    try:
        unpack(path, folder, limits)
    except CrateError as error:
        return Checked(issues=error.issues or (Issue("", "The zip is damaged."),))
    if issues := (*_misleading_names(folder), *check_folder(folder, limits)):
        return Checked(issues=issues)
    return _check_policy(deposit, folder, policy)


def _misleading_names(folder: Path) -> tuple[Issue, ...]:
    """Return an issue for each name that would be shown to readers as another one."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))
    message = "The name holds characters that turn the direction of text."
    return tuple(Issue(name, message) for name in names if _TURNS.search(name))


def _check_policy(deposit: Deposit, folder: Path, policy: PolicySettings) -> Checked:
    document, manifest = read_records(folder)
    metadata = read_json(folder / METADATA)
    files = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    description = about(document, manifest, files)
    authors = creators(metadata, manifest)
    license_name = (
        deposit.license or manifest.stated_license.removeprefix("https://spdx.org/licenses/") or policy.licenses[0]
    )
    issues = []
    if license_name not in policy.licenses:
        allowed = ", ".join(policy.licenses)
        issues.append(Issue("license", "The archive does not publish under this license.", license_name, allowed))
    if policy.need_author and not authors:
        issues.append(Issue("author", "The crate names no author."))
    columns = {
        "title": manifest.title or manifest.notebook,
        "creators": authors or ({"name": deposit.owner.name or "Unnamed", "orcid": ""},),
        "about": description,
        "license": license_name,
        "public_from": _public_from(deposit, description["inputs"], policy),
    }
    return Checked(issues=tuple(issues), columns=columns)


def _check_notebook(deposit: Deposit, path: Path, policy: PolicySettings) -> Checked:
    """Check a bare notebook: JSON within limits, and valid by nbformat's schema."""
    try:
        content = read_json(path, max_bytes=_NOTEBOOK_BYTES)
        if not isinstance(content, dict) or content.get("nbformat") not in (3, 4):
            raise CrateError("The file is no notebook of format 3 or 4.")
        nbformat.validate(content, relax_add_props=True)
    except CrateError as error:
        return Checked(issues=(Issue("", error.message),))
    except nbformat.ValidationError as error:
        return Checked(issues=(Issue("", f"The file is no valid notebook: {str(error.message)[:300]}."),))
    cells = content.get("cells", ())
    columns = {
        "title": deposit.filename.removesuffix(".ipynb"),
        "creators": ({"name": deposit.owner.name or "Unnamed", "orcid": ""},),
        "about": {"notebook": deposit.filename, "cells": len(cells)},
        "license": deposit.license or policy.licenses[0],
        "public_from": _public_from(deposit, (), policy),
    }
    return Checked(columns=columns)


def _shown(issues: Sequence[Issue], names: Mapping[str, str]) -> tuple[Issue, ...]:
    """Return the first issues, with the depositor's names in place of paths of the server, and no control characters."""

    def plain(text: str) -> str:
        for path, name in names.items():
            text = text.replace(path, name).replace(Path(path).name, name)
        return "".join(c if c.isprintable() else "\ufffd" for c in text)[:_MOST_TEXT]

    return tuple(
        Issue(plain(i.path), plain(i.message), plain(i.found), plain(i.expected)) for i in issues[:_MOST_ISSUES]
    )


def _public_from(deposit: Deposit, inputs: Sequence[dict[str, Any]], policy: PolicySettings) -> datetime | None:
    """Return the time before which nothing may be visible: the latest of the owner's and of the observations'."""
    months = policy.proprietary_months
    if policy.too_obs_ids and deposit.obs_id in Path(policy.too_obs_ids).read_text(encoding="utf-8").split():
        months = policy.too_months
    times = [proprietary_until(item["t_max"], months) for item in inputs if item.get("t_max")]
    return max([*times, *([deposit.public_from] if deposit.public_from else [])], default=None)


def proprietary_until(t_max_mjd: float, months: int) -> datetime:
    """Return the end of the proprietary period of an observation that ended at a Modified Julian Date."""
    end = _MJD_EPOCH + timedelta(days=float(t_max_mjd))
    month = end.month - 1 + months
    year, month = end.year + month // 12, month % 12 + 1
    return end.replace(year=year, month=month, day=min(end.day, calendar.monthrange(year, month)[1]))
