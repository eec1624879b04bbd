"""The token of a person: from the environment, from JupyterHub, or by a login on another device (RFC 8628).

It is kept nowhere, least of all in a notebook.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import requests

from casaprov.archive.client import ArchiveClient, ArchiveError

__all__ = ["TOKEN_VARIABLE", "device_token", "found_token"]

TOKEN_VARIABLE = "CASAPROV_ARCHIVE_TOKEN"  # noqa: S105  # the name of a variable
CLIENT_VARIABLE = "CASAPROV_ARCHIVE_CLIENT_ID"
_TIMEOUT_S = 30
_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
_HINT = f"Set {TOKEN_VARIABLE} to a token of the archive's OpenID provider."


def found_token(environment: Mapping[str, str]) -> str:
    """Return the token of the environment, or else the one that JupyterHub keeps for its user; empty for none."""
    if token := environment.get(TOKEN_VARIABLE, "").strip():
        return token
    api, own = environment.get("JUPYTERHUB_API_URL", ""), environment.get("JUPYTERHUB_API_TOKEN", "")
    if not api or not own:
        return ""
    try:
        headers = {"Authorization": f"token {own}"}
        user = requests.get(f"{api.rstrip('/')}/user", headers=headers, timeout=_TIMEOUT_S).json()
    except (requests.RequestException, ValueError):
        return ""
    state = user.get("auth_state") if isinstance(user, dict) else None
    kept = state.get("access_token") if isinstance(state, dict) else None
    return str(kept or "")


def device_token(
    client: ArchiveClient,
    show: Callable[[str, str], None],
    *,
    client_id: str = "casaprov",
    sleep: Callable[[float], None] = time.sleep,
) -> str:
    """Let the person log in with a browser anywhere, and return the token.

    Parameters
    ----------
    show
        Called with the address to open and the code to enter there.

    Raises
    ------
    ArchiveError
        If the archive's provider has no such login, or the person does not log in.
    """
    discovery = client.issuer()
    if not discovery:
        raise ArchiveError("A token is needed, and the archive names no OpenID provider.", hint=_HINT)
    provider = _json(requests.get, discovery)
    if "device_authorization_endpoint" not in provider:
        raise ArchiveError("The archive's OpenID provider has no login for other devices.", hint=_HINT)
    started = _json(
        requests.post,
        str(provider["device_authorization_endpoint"]),
        data={"client_id": client_id, "scope": "openid profile"},
    )
    if "device_code" not in started:
        raise ArchiveError(f"The login cannot begin: {started.get('error', 'no answer')}.", hint=_HINT)
    show(str(started.get("verification_uri_complete") or started["verification_uri"]), str(started["user_code"]))
    wait = float(started.get("interval", 5))
    until = time.monotonic() + float(started.get("expires_in", 600))
    asked = {"grant_type": _GRANT, "device_code": str(started["device_code"]), "client_id": client_id}
    while time.monotonic() < until:
        sleep(wait)
        answer = _json(requests.post, str(provider["token_endpoint"]), data=asked)
        if token := answer.get("access_token"):
            return str(token)
        match answer.get("error"):
            case "authorization_pending":
                pass
            case "slow_down":
                wait += 5
            case error:
                raise ArchiveError(f"The login failed: {error}.", hint="Repeat the command.")
    raise ArchiveError("The login was not completed in time.", hint="Repeat the command.")


def _json(act: Callable[..., requests.Response], url: str, **arguments: Any) -> dict[str, Any]:
    try:
        found = act(url, timeout=_TIMEOUT_S, **arguments).json()
    except (requests.RequestException, ValueError) as error:
        raise ArchiveError(f"The OpenID provider at {url} does not answer.", hint=_HINT) from error
    if not isinstance(found, dict):
        raise ArchiveError(f"The OpenID provider at {url} does not answer as one.", hint=_HINT)
    return found
