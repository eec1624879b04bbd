"""Receipts: the state of a deposit, signed by the archive (``schemas/receipt-1.schema.json``)."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from joserfc import jws
from joserfc.jwk import ECKey, KeySetSerialization

from casaprov.archive.deposits import Deposit, State
from casaprov.archive.publication.metadata.addresses import crate_url, file_url, page_url
from casaprov.archive.settings import Settings

__all__ = ["make_receipts", "public_keys", "receipt_body", "signing_key"]

_KEY_FILE = "receipts.jwk"
_ALGORITHM = "ES256"


def make_receipts(settings: Settings) -> Callable[[Deposit], dict[str, Any]]:
    """Return the function that writes receipts with the archive's key."""
    key = signing_key(settings.keys)

    def receipt(deposit: Deposit) -> dict[str, Any]:
        body = receipt_body(settings, deposit)
        payload = json.dumps(body, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        header = {"alg": _ALGORITHM, "kid": key.kid, "typ": "casaprov-receipt+json"}
        return {**body, "jws": jws.serialize_compact(header, payload, key)}

    return receipt


def receipt_body(settings: Settings, deposit: Deposit) -> dict[str, Any]:
    """Return a receipt without its signature."""
    links = {"self": f"{settings.url}/api/deposits/{deposit.id}", "keys": f"{settings.url}/.well-known/jwks.json"}
    if deposit.state is State.PUBLISHED:
        links |= {"page": page_url(settings, deposit), "content": crate_url(settings, deposit)}
        if deposit.verdicts:
            links["report"] = file_url(settings, deposit, "report.json")
    elif deposit.state is State.WITHDRAWN and deposit.published_at is not None:
        links["page"] = page_url(settings, deposit)
    verdict = deposit.verdict
    return {
        "receipt": "casaprov/receipt/1",
        "id": deposit.id,
        "kind": deposit.kind.value,
        "state": deposit.state.value,
        "reason": deposit.reason,
        "obs_id": deposit.obs_id,
        "name": deposit.name,
        "version": deposit.version,
        "did": deposit.did,
        "doi": deposit.doi,
        "filename": deposit.filename,
        "sha256": deposit.sha256,
        "size_bytes": deposit.size_bytes,
        "owner": {"iss": deposit.owner.iss, "sub": deposit.owner.sub, "name": deposit.owner.name},
        "received_at": _time(deposit.received_at),
        "modified_at": _time(deposit.modified_at),
        "public_from": _time(deposit.public_from),
        "published_at": _time(deposit.published_at),
        "issues": [{"path": issue.path, "message": str(issue.message)} for issue in deposit.issues],
        "replay": None
        if verdict is None
        else {
            "at": _time(verdict.at),
            "summary": verdict.summary.value,
            "casa": verdict.casa,
            "counts": verdict.counts,
            "note": verdict.note,
            "seconds": verdict.seconds,
        },
        "links": links,
    }


def signing_key(folder: Path) -> ECKey:
    """Return the archive's key for receipts; make it the first time, also if several processes start at once."""
    path = folder / _KEY_FILE
    if not path.exists():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        made = ECKey.generate_key("P-256", auto_kid=True)
        with tempfile.NamedTemporaryFile("w", dir=folder, prefix=f".{_KEY_FILE}", encoding="ascii") as file:
            json.dump(made.as_dict(private=True), file)
            file.flush()
            os.fsync(file.fileno())
            # A link fails where a rename would replace the key of a process that was faster.
            with contextlib.suppress(FileExistsError):
                os.link(file.name, path)
    return ECKey.import_key(json.loads(path.read_text(encoding="ascii")))


def public_keys(folder: Path) -> KeySetSerialization:
    """Return the public key set that receipts are verified with."""
    public = signing_key(folder).as_dict(private=False)
    return {"keys": [{**public, "use": "sig", "alg": _ALGORITHM}]}


def _time(value: datetime | None) -> str | None:
    return None if value is None else value.isoformat(timespec="seconds")
