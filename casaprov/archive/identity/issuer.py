"""An OpenID provider, of which only the URL is configured: its discovery, its keys, its answers about opaque tokens.

Keys are fetched again when a token names one that is not known, for the provider may have changed them, but at most once
in :data:`UNKNOWN_KEY_S`: tokens with invented key ids must not make the archive ask at their pace.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from joserfc.errors import JoseError
from joserfc.jwk import Key, KeySet
from tornado.httpclient import AsyncHTTPClient, HTTPError, HTTPRequest

from casaprov.errors import CasaprovError

__all__ = ["UNKNOWN_KEY_S", "Issuer", "IssuerUnavailable"]

UNKNOWN_KEY_S = 10.0
"""Shortest time in seconds between two fetches that unknown key ids cause."""

_FRESH_S = 3600.0  # a key that the provider has withdrawn is trusted no longer than this
_TRY_AGAIN_S = 5.0  # between two attempts at a provider that does not answer
_TIMEOUT_S = 10.0
_MAX_BYTES = 2**20
_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})

_log = logging.getLogger(__name__)


class IssuerUnavailable(CasaprovError):
    """The OpenID provider does not answer, or not as its standard says."""


class Issuer:
    """An OpenID provider.

    Parameters
    ----------
    url
        Its issuer identifier, as it stands in ``iss``.
    clock
        Monotonic time in seconds.
    """

    def __init__(self, url: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.url = url
        self._clock = clock
        self._discovered: dict[str, Any] = {}
        self._keys: tuple[Key, ...] = ()
        self._fetched_at: float | None = None
        self._failed_at: float | None = None
        self._unknown_at: float | None = None
        self._fetching = asyncio.Lock()

    async def keys(self, key_id: str | None) -> tuple[Key, ...]:
        """Return the keys that may have signed a token: the one of its key id, or all if it names none.

        Raises
        ------
        IssuerUnavailable
            If no key could ever be fetched.
        """
        await self._refresh()
        if found := self._named(key_id):
            return found
        await self._ask_for_unknown()
        return self._named(key_id)

    async def introspect(self, token: str, client: str, secret: str) -> dict[str, Any] | None:
        """Return the claims of an opaque token (RFC 7662), or None if it is not active.

        Parameters
        ----------
        client, secret
            Credentials of the archive; a client without a secret is a public one.
        """
        await self._refresh()
        if not (address := self._discovered.get("introspection_endpoint")):
            return None
        form = {"token": token, "token_type_hint": "access_token"}
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        if secret:
            pair = f"{quote(client, safe='')}:{quote(secret, safe='')}".encode()
            headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
        else:
            form["client_id"] = client
        answer = await self._json(address, method="POST", headers=headers, body=urlencode(form))
        return answer if answer.get("active") is True else None

    async def userinfo(self, token: str) -> dict[str, Any]:
        """Return the claims that the provider gives the bearer of a token; empty if it gives none."""
        await self._refresh()
        if not (address := self._discovered.get("userinfo_endpoint")):
            return {}
        try:
            return await self._json(address, headers={"Authorization": f"Bearer {token}"})
        except IssuerUnavailable:  # the token may lack the scope for it
            return {}

    # Keys

    def _named(self, key_id: str | None) -> tuple[Key, ...]:
        return tuple(key for key in self._keys if key_id is None or key.kid in (None, key_id))

    async def _refresh(self) -> None:
        """Fetch discovery and keys for the first time, and once they are old."""
        if self._is_fresh():
            return
        async with self._fetching:
            if self._is_fresh():  # another request fetched them meanwhile
                return
            now = self._clock()
            waiting = self._failed_at is not None and now - self._failed_at < _TRY_AGAIN_S
            if not waiting:
                await self._fetch()
            if self._fetched_at is None:
                raise IssuerUnavailable(f"{self.url} does not answer.", hint="Try again in a minute.")

    def _is_fresh(self) -> bool:
        return self._fetched_at is not None and self._clock() - self._fetched_at < _FRESH_S

    async def _ask_for_unknown(self) -> None:
        """Fetch the keys because of an unknown key id, unless they were fetched just now; other requests wait for it."""
        async with self._fetching:
            if self._unknown_at is None or self._clock() - self._unknown_at >= UNKNOWN_KEY_S:
                self._unknown_at = self._clock()
                await self._fetch()

    async def _fetch(self) -> None:
        """Fetch discovery and keys; a provider that does not answer leaves those that are known."""
        try:
            discovered = await self._json(f"{self.url.rstrip('/')}/.well-known/openid-configuration")
            if discovered.get("issuer") != self.url:
                raise IssuerUnavailable(
                    f"The provider at {self.url} calls itself {discovered.get('issuer')!r}.",
                    hint="Write its issuer into the settings exactly as it calls itself.",
                )
            published = await self._json(discovered.get("jwks_uri"))
            self._keys = _usable(published)
        except IssuerUnavailable as error:
            self._failed_at = self._clock()
            _log.warning("%s", error)
            return
        self._discovered = discovered
        self._fetched_at, self._failed_at = self._clock(), None

    async def _json(self, address: Any, **request: Any) -> dict[str, Any]:
        """Fetch a JSON object."""
        if not isinstance(address, str) or not _is_safe(address):
            raise IssuerUnavailable(f"{self.url} publishes {address!r}, which is no https address.")
        asked = HTTPRequest(
            address, request_timeout=_TIMEOUT_S, connect_timeout=_TIMEOUT_S, follow_redirects=False, **request
        )
        client = AsyncHTTPClient(
            force_instance=True, defaults={"user_agent": "casaprov-archive"}, max_body_size=_MAX_BYTES
        )
        try:
            answer = await client.fetch(asked)
            found = json.loads(answer.body)
        except (HTTPError, OSError, ValueError) as error:
            raise IssuerUnavailable(f"{address} cannot be read: {error}.") from error
        finally:
            client.close()
        if not isinstance(found, dict):
            raise IssuerUnavailable(f"{address} is no JSON object.")
        return found


def _usable(published: Mapping[str, Any]) -> tuple[Key, ...]:
    """Return the public keys for signatures in a key set; those of kinds that are not known are passed over."""
    found: list[Key] = []
    for entry in published.get("keys", []):
        if not isinstance(entry, dict) or entry.get("use", "sig") != "sig" or entry.get("kty") == "oct":
            continue
        try:
            found.extend(KeySet.import_key_set({"keys": [entry]}).keys)
        except (JoseError, ValueError, TypeError, KeyError) as error:
            _log.info("A key of the provider was passed over: %s", error)
    return tuple(found)


def _is_safe(address: str) -> bool:
    parts = urlsplit(address)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOCAL)
