"""The rows of a published crate in the tables of the VO, as ``deploy/dachs/q.rd`` defines them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import Any

from casaprov.archive.deposits import Deposit, Kind
from casaprov.archive.publication.metadata.addresses import CRATE_TYPE, NOTEBOOK_TYPE, crate_url, page_url
from casaprov.archive.settings import Settings

__all__ = ["CRATE_COLUMNS", "INPUT_COLUMNS", "crate_row", "crates_csv", "input_rows", "inputs_csv", "observations_of"]

# From the best to the worst; a replay is as good as its worst product.
_VERDICTS = ("identical", "same-content", "within-tolerance", "not-verifiable", "differs", "missing")

CRATE_COLUMNS = (
    "crate_did",
    "concept_did",
    "version",
    "is_latest",
    "doi",
    "title",
    "description",
    "creators",
    "license",
    "casa_version",
    "n_calls",
    "n_products",
    "verdict",
    "replayed",
    "access_url",
    "access_format",
    "access_estsize",
    "sha256",
    "landing_url",
    "created",
)
"""Columns of the table of crates."""

INPUT_COLUMNS = ("crate_did", "obs_publisher_did", "obs_id")
"""Columns of the table that relates crates to observations, many to many."""


def crate_row(settings: Settings, deposit: Deposit, *, latest: bool = True) -> dict[str, Any]:
    """Return the row of a crate; times are in UTC, and None is unknown."""
    assert deposit.published_at is not None
    crate = deposit.kind is Kind.CRATE
    verdict = deposit.verdict
    counts = verdict.counts if verdict else {}
    worst = max((name for name in counts if counts[name] and name in _VERDICTS), key=_VERDICTS.index, default=None)
    return {
        "crate_did": deposit.did,
        "concept_did": deposit.did.removesuffix(f"/v{deposit.version}"),
        "version": deposit.version,
        "is_latest": int(latest),
        "doi": deposit.doi or None,
        "title": _line(deposit.title or deposit.filename),
        "description": _line(deposit.description) or None,
        "creators": "; ".join(_line(creator["name"]) for creator in deposit.creators) or None,
        "license": deposit.license or None,
        "casa_version": str(deposit.about.get("casa") or "") or None,
        "n_calls": int(deposit.about.get("calls") or 0),
        "n_products": len(deposit.about.get("products") or ()),
        "verdict": worst,
        "replayed": verdict.at.strftime("%Y-%m-%dT%H:%M:%S") if verdict and worst else None,
        "access_url": crate_url(settings, deposit),
        "access_format": CRATE_TYPE if crate else NOTEBOOK_TYPE,
        "access_estsize": -(-deposit.size_bytes // 1000),  # kilobytes, as in ObsCore
        "sha256": deposit.sha256.removeprefix("sha256:"),
        "landing_url": page_url(settings, deposit),
        "created": deposit.published_at.strftime("%Y-%m-%dT%H:%M:%S"),
    }


def input_rows(deposit: Deposit) -> list[dict[str, str]]:
    """Return the rows that relate a crate to the observations that it used."""
    return [
        {"crate_did": deposit.did, "obs_publisher_did": did, "obs_id": deposit.obs_id}
        for did in observations_of(deposit)
    ]


def observations_of(deposit: Deposit) -> tuple[str, ...]:
    """Return the identifiers of the observations that a crate used, each once."""
    found = (entry.get("did") for entry in deposit.about.get("inputs", ()))
    return tuple(dict.fromkeys(did for did in found if isinstance(did, str) and did))


def crates_csv(settings: Settings, deposits: Iterable[Deposit]) -> bytes:
    """Return published crates as a table, for ``dachs imp``."""
    known = list(deposits)
    newest: dict[str, int] = {}
    for deposit in known:
        newest[deposit.name] = max(deposit.version, newest.get(deposit.name, 0))
    rows = (crate_row(settings, d, latest=d.version == newest[d.name]) for d in known)
    return _csv(CRATE_COLUMNS, rows)


def inputs_csv(deposits: Iterable[Deposit]) -> bytes:
    """Return the relation of crates to observations as a table, for ``dachs imp``."""
    return _csv(INPUT_COLUMNS, (row for deposit in deposits for row in input_rows(deposit)))


def _csv(columns: tuple[str, ...], rows: Iterable[dict[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _line(text: str) -> str:
    return " ".join(text.replace("\0", " ").split())
