"""Tokens of an OpenID provider: signed ones are verified by its keys, opaque ones by asking it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError

from casaprov.archive.deposits import Person
from casaprov.archive.identity.claims import lists_groups, person_in, refusal
from casaprov.archive.identity.issuer import Issuer
from casaprov.archive.settings import Settings
from casaprov.errors import UsageError

__all__ = ["ALGORITHMS", "OidcIdentity"]

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
"""Signatures that are accepted: only those with a public key, for a public key must never pass as a shared secret."""

_MAX_TOKEN = 16_384  # characters
_KEEP_S = 30.0  # an opaque token is not asked for again within this time; a revoked one is accepted no longer
_MAX_KEPT = 1000

_log = logging.getLogger(__name__)


class OidcIdentity:
    """Finds the person that a token of an OpenID provider stands for.

    Parameters
    ----------
    issuer
        The provider; by default the one of the settings.
    clock
        Seconds since 1970.
    """

    def __init__(
        self, settings: Settings, issuer: Issuer | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self._settings = settings.identity
        self._issuer = issuer or Issuer(self._settings.issuer)
        self._clock = clock
        self._secret = _secret(self._settings.client_secret_file)
        self._asked: OrderedDict[str, tuple[float, Person | None]] = OrderedDict()

    async def person(self, token: str) -> Person | None:
        """Return the person that a token stands for, or None.

        Raises
        ------
        IssuerUnavailable
            If the provider must be asked and does not answer.
        """
        if not 0 < len(token) <= _MAX_TOKEN or not token.isascii():
            return None
        header = _header(token)
        return await self._opaque(token) if header is None else await self._signed(token, header)

    async def _signed(self, token: str, header: dict[str, Any]) -> Person | None:
        key_id = header.get("kid")
        if header.get("alg") not in ALGORITHMS or not (key_id is None or isinstance(key_id, str)):
            return _refused("its signature is of a kind that is not accepted")
        for key in await self._issuer.keys(key_id):
            try:
                claims = jwt.decode(token, key, algorithms=list(ALGORITHMS)).claims
            except (JoseError, ValueError, TypeError):
                continue
            reason = refusal(claims, self._settings, self._clock())
            return _refused(reason) if reason else person_in(claims, self._settings)
        return _refused("no key of the issuer has signed it")

    async def _opaque(self, token: str) -> Person | None:
        """Ask the provider, unless it was asked just now."""
        name = hashlib.sha256(token.encode()).hexdigest()
        now = self._clock()
        if name in self._asked and now - self._asked[name][0] < _KEEP_S:
            return self._asked[name][1]
        person = await self._introspected(token)
        self._asked[name] = (now, person)
        self._asked.move_to_end(name)
        while len(self._asked) > _MAX_KEPT:
            self._asked.popitem(last=False)
        return person

    async def _introspected(self, token: str) -> Person | None:
        client = self._settings.client_id or self._settings.audience
        claims = await self._issuer.introspect(token, client, self._secret)
        if claims is None:
            return _refused("the issuer calls it inactive")
        # Providers answer about refresh tokens too; they are not for archives.
        if "bearer" not in {str(claims.get("token_type", "")).lower(), str(claims.get("typ", "")).lower()}:
            return _refused("it is no access token")
        claims = {"iss": self._settings.issuer, **claims}
        if reason := refusal(claims, self._settings, self._clock()):
            return _refused(reason)
        if not lists_groups(claims, self._settings):
            more = await self._issuer.userinfo(token)
            if more.get("sub") == claims["sub"]:
                claims = {**more, **claims}
        return person_in(claims, self._settings)


def _header(token: str) -> dict[str, Any] | None:
    """Return the header of a signed token; None if it is opaque."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        header = json.loads(base64.urlsafe_b64decode(parts[0] + "=" * (-len(parts[0]) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        return None
    return header if isinstance(header, dict) and "alg" in header else None


def _secret(path: str) -> str:
    if not path:
        return ""
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The secret of the archive's client cannot be read from {path}.", hint=str(error)) from error


def _refused(reason: str) -> Person | None:
    _log.info("A token was refused: %s.", reason)
    return None
