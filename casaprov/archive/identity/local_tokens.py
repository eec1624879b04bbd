"""The one token of an archive that has no OpenID provider, for a first trial and for tests."""

from __future__ import annotations

import hmac
import os
import secrets
from pathlib import Path

from casaprov.archive.deposits import Person

__all__ = ["LOCAL_ISSUER", "LocalTokens"]

LOCAL_ISSUER = "local"
_FILE = "local-token"


class LocalTokens:
    """Accept the token in ``local-token`` of the archive's root folder; its owner is a curator."""

    def __init__(self, root: Path) -> None:
        self.path = root / _FILE
        if not self.path.exists():
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(secrets.token_urlsafe(32) + "\n")
        self._token = self.path.read_text(encoding="ascii").strip()

    async def person(self, token: str) -> Person | None:
        """Return the person that a token stands for, or None."""
        if hmac.compare_digest(token.encode(), self._token.encode()):
            return Person(iss=LOCAL_ISSUER, sub="operator", name="Operator", curator=True)
        return None
