"""The client of an archive: deposits in pieces that survive a broken connection, status, withdrawal."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import platformdirs
import requests

from casaprov.errors import CasaprovError, UsageError

__all__ = ["ArchiveClient", "ArchiveError", "Refused"]

_TUS = {"Tus-Resumable": "1.0.0"}
_PIECE = 8 * 2**20
_TIMEOUT_S = (30, 600)  # to connect, and to wait for an answer
_MOST_WAIT_S = 60.0
_BUSY_S = 0.5

Progress = Callable[[int, int], None]


class ArchiveError(CasaprovError):
    """The archive cannot be reached, or does not answer as one."""


class Refused(ArchiveError):
    """The archive refused a request.

    Parameters
    ----------
    status
        The HTTP status.
    """

    def __init__(self, status: int, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status


class ArchiveClient:
    """Talks to one archive.

    Parameters
    ----------
    url
        Address of the archive.
    token
        Token of the person; it is sent to that address only, and kept nowhere.
    patience_s
        Time to try again for when the connection breaks.
    memory
        File that remembers uploads which are not finished, so that a later command goes on with them.
    """

    def __init__(self, url: str, token: str = "", *, patience_s: float = 600.0, memory: Path | None = None) -> None:
        if not url.startswith(("https://", "http://")):
            raise UsageError(f"{url} is no address of an archive.", hint="It begins with https://.")
        self.url = url.rstrip("/")
        self._session = requests.Session()
        self._session.trust_env = True
        if token:
            self._session.headers["Authorization"] = f"Bearer {token}"
        self._patience_s = patience_s
        self._memory = memory or platformdirs.user_cache_path("casaprov") / "uploads.json"

    def submit(self, path: Path, *, on_progress: Progress = lambda _done, _all: None, **fields: str) -> dict[str, Any]:
        """Upload a file, deposit it, and return the receipt.

        Parameters
        ----------
        on_progress
            Called with the bytes that have arrived and those of the file.
        fields
            Fields of the form: obs_id, description, license, public_from, new_version_of.

        Raises
        ------
        ArchiveError
            If the archive refuses it, or cannot be reached for too long.
        """
        digest = _digest(path)
        upload = self._uploaded(path, digest, on_progress)
        parts = {name: (None, value) for name, value in fields.items() if value}
        parts |= {"upload": (None, upload.rpartition("/")[2]), "filename": (None, path.name)}
        receipt = self._json("POST", "/api/deposits", files=parts)
        self._forget(digest)
        return receipt

    def status(self, deposit_id: str) -> dict[str, Any]:
        """Return the receipt of a deposit as it is now."""
        return self._json("GET", f"/api/deposits/{deposit_id}")

    def listed(self) -> list[dict[str, Any]]:
        """Return the person's deposits, the newest first."""
        found = self._json("GET", "/api/deposits").get("deposits", [])
        return [deposit for deposit in found if isinstance(deposit, dict)]

    def withdraw(self, deposit_id: str, reason: str) -> dict[str, Any]:
        """Withdraw a deposit."""
        return self._json("POST", f"/api/deposits/{deposit_id}/withdraw", json={"reason": reason})

    def issuer(self) -> str:
        """Return the URL of the discovery document of the archive's OpenID provider; empty if it has none."""
        schemes = self._json("GET", "/openapi.json").get("components", {}).get("securitySchemes", {})
        return str(schemes.get("oidc", {}).get("openIdConnectUrl", ""))

    def _json(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        answer = self._try(lambda: self._session.request(method, self.url + path, timeout=_TIMEOUT_S, **arguments))
        _check(answer)
        try:
            found = answer.json()
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise ArchiveError(f"{self.url} does not answer as an archive.", hint="Check the address.")
        return found

    # Uploading

    def _uploaded(self, path: Path, digest: str, on_progress: Progress) -> str:
        """Upload a file in pieces, from where an earlier attempt ended; return the address of the upload."""
        size = path.stat().st_size
        upload, offset = self._resumed(digest, size)
        with path.open("rb") as file:
            while True:
                on_progress(offset, size)
                if offset == size:
                    return upload
                file.seek(offset)
                piece = file.read(_PIECE)
                if not piece:
                    raise ArchiveError(f"{path} became shorter while it was sent.", hint="Send it again.")
                offset = self._sent(upload, offset, piece)

    def _sent(self, upload: str, offset: int, piece: bytes) -> int:
        """Send a piece; after a broken connection ask how much arrived."""
        headers = {**_TUS, "Content-Type": "application/offset+octet-stream", "Upload-Offset": str(offset)}
        try:
            answer = self._session.patch(upload, data=piece, headers=headers, timeout=_TIMEOUT_S)
        except requests.RequestException:
            return self._offset(upload)
        if answer.status_code == 409 or answer.status_code >= 500:
            time.sleep(_BUSY_S)  # the archive may still be closing a connection that broke
            return self._offset(upload)
        _check(answer)
        return int(answer.headers["Upload-Offset"])

    def _offset(self, upload: str) -> int:
        answer = self._try(lambda: self._session.head(upload, headers=_TUS, timeout=_TIMEOUT_S))
        _check(answer)
        return int(answer.headers["Upload-Offset"])

    def _resumed(self, digest: str, size: int) -> tuple[str, int]:
        """Return an upload that was begun earlier, or a new one, and how much of it has arrived."""
        known = self._known().get(f"{self.url} {digest}", "")
        if known.startswith(f"{self.url}/"):
            with suppress(Refused):  # it has expired
                return known, self._offset(known)
        headers = {**_TUS, "Upload-Length": str(size)}
        address = f"{self.url}/api/uploads"
        answer = self._try(lambda: self._session.post(address, headers=headers, timeout=_TIMEOUT_S))
        _check(answer)
        # The archive may name itself otherwise than it was reached; the token goes to this address only.
        upload = f"{address}/{urljoin(address, answer.headers['Location']).rpartition('/')[2]}"
        self._remember(digest, upload)
        return upload, 0

    def _known(self) -> Mapping[str, str]:
        try:
            known = json.loads(self._memory.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return known if isinstance(known, dict) else {}

    def _remember(self, digest: str, upload: str) -> None:
        self._write({**self._known(), f"{self.url} {digest}": upload})

    def _forget(self, digest: str) -> None:
        self._write({key: value for key, value in self._known().items() if key != f"{self.url} {digest}"})

    def _write(self, known: Mapping[str, str]) -> None:
        with suppress(OSError):  # without it, a later command begins anew
            self._memory.parent.mkdir(parents=True, exist_ok=True)
            beside = self._memory.with_suffix(f".{os.getpid()}")
            beside.write_text(json.dumps(known), encoding="utf-8")
            beside.replace(self._memory)

    def _try(self, act: Callable[[], requests.Response]) -> requests.Response:
        """Repeat a request while the archive is away or overloaded."""
        until, wait = time.monotonic() + self._patience_s, 0.5
        while True:
            try:
                answer = act()
                if answer.status_code not in (502, 503, 504) or time.monotonic() + wait > until:
                    return answer
            except requests.RequestException as error:
                if time.monotonic() + wait > until:
                    reason = "no connection" if isinstance(error, requests.ConnectionError) else str(error)
                    raise ArchiveError(
                        f"{self.url} cannot be reached: {reason}.",
                        hint="Try again later; what has arrived stays there.",
                    ) from error
            time.sleep(wait)
            wait = min(2 * wait, _MOST_WAIT_S)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check(answer: requests.Response) -> None:
    """Turn a problem into an exception."""
    if answer.status_code < 400:
        return
    detail = answer.reason or "refused"
    with suppress(ValueError):
        problem = answer.json()
        if isinstance(problem, dict):
            detail = f"{problem.get('detail') or detail}"
            if problem.get("field"):
                detail = f"{problem['field']}: {detail}"
    raise Refused(answer.status_code, f"The archive answered {answer.status_code}: {detail}")
