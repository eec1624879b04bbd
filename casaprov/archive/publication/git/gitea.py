"""Gitea: each published notebook is also committed to a git server of the institute, by one request.

The request is ``repoCreateFile`` of Gitea's OpenAPI description. Each version is a file of its own, so that a request
that is repeated after a crash finds its file there.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import requests

from casaprov.archive.deposits import Deposit
from casaprov.archive.publication.git.repositories import notebook_of
from casaprov.archive.publication.metadata.datacite import creators
from casaprov.archive.settings import GiteaSettings
from casaprov.errors import CasaprovError, UsageError

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["Gitea", "GiteaRefused"]

_TIMEOUT_S = 60
_BRANCH = "master"


class GiteaRefused(CasaprovError):
    """Gitea did not take a notebook; the publication is tried again later."""


class Gitea:
    """The repositories of an organisation on a Gitea server."""

    def __init__(self, settings: GiteaSettings) -> None:
        self._settings = settings
        try:
            self._token = Path(settings.token_file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            hint = "Write a token of Gitea with the scope write:repository into the file of 'token_file' in [gitea]."
            raise UsageError(f"The token of Gitea cannot be read from {settings.token_file!r}.", hint=hint) from error

    def prepare(self, deposit: Deposit, content: Path) -> None:
        """Commit the notebook of a deposit."""
        answer = self._request("POST", deposit, creation(deposit, notebook_of(deposit, content)))
        if answer.status_code in (409, 422) and self._request("GET", deposit).status_code == 200:
            return  # it was committed before a crash
        self._check(answer, deposit)

    def record(self, connection: Connection, deposit: Deposit) -> None:
        """Write nothing: Gitea has no part in the transaction."""

    def withdraw(self, deposit: Deposit) -> None:
        """Remove the notebook from the branch."""
        found = self._request("GET", deposit)
        if found.status_code == 404:
            return
        self._check(found, deposit)
        message = f"Withdraw {deposit.name} v{deposit.version}"
        self._check(
            self._request("DELETE", deposit, {"sha": found.json()["sha"], "branch": _BRANCH, "message": message}),
            deposit,
        )

    def _request(self, method: str, deposit: Deposit, body: dict[str, Any] | None = None) -> requests.Response:
        owner, obs_id = quote(self._settings.owner, safe=""), quote(deposit.obs_id, safe="")
        path = f"/api/v1/repos/{owner}/{obs_id}/contents/{quote(file_name(deposit))}"
        headers = {"Authorization": f"token {self._token}", "Accept": "application/json"}
        try:
            return requests.request(
                method, self._settings.url.rstrip("/") + path, json=body, headers=headers, timeout=_TIMEOUT_S
            )
        except requests.RequestException as error:
            raise GiteaRefused(f"Gitea at {self._settings.url} does not answer: {error}.") from error

    def _check(self, answer: requests.Response, deposit: Deposit) -> None:
        if answer.ok:
            return
        reasons = {
            401: "its token is not valid",
            403: "its token may not write there",
            404: f"there is no repository {self._settings.owner}/{deposit.obs_id}, or its token may not see it",
        }
        reason = reasons.get(answer.status_code, f"it answered {answer.status_code}")
        raise GiteaRefused(f"Gitea did not take {deposit.name}: {reason}.", hint="See [gitea] in archive.toml.")


def creation(deposit: Deposit, notebook: bytes) -> dict[str, Any]:
    """Return the body of the request that commits a notebook, in the name of its author."""
    name = " ".join(creators(deposit)[0]["name"].split())
    title = " ".join((deposit.title or deposit.filename).split())[:200]
    return {
        "content": base64.b64encode(notebook).decode(),
        "branch": _BRANCH,
        "message": f"{deposit.name} v{deposit.version}: {title}\n\n{deposit.did}\n",
        "author": {"name": name, "email": "noreply@localhost"},
    }


def file_name(deposit: Deposit) -> str:
    """Return the name of a version's notebook."""
    return f"{deposit.name}-v{deposit.version}.ipynb"
