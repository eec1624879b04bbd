"""The public keys that receipts are verified with."""

from __future__ import annotations

from casaprov.archive.publication.receipt import public_keys
from casaprov.archive.web.handler import ArchiveHandler

__all__ = ["Keys"]


class Keys(ArchiveHandler):
    """``/.well-known/jwks.json``."""

    async def get(self) -> None:
        """Answer with the key set."""
        self.write_json(
            await self.in_thread(public_keys, self.archive.settings.keys), content_type="application/jwk-set+json"
        )

    head = get
