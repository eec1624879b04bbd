"""Licences: identifiers of the SPDX list, and addresses of others."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from casaprov.credits.people import web_address
from casaprov.errors import UsageError

__all__ = ["Licence", "licence"]

SPDX = "https://spdx.org/licenses/"


@dataclass(frozen=True, kw_only=True)
class Licence:
    """A licence: its SPDX identifier and page, or its address alone."""

    name: str
    url: str


def licence(text: str) -> Licence:
    """Return the licence that a text names.

    Parameters
    ----------
    text
        An identifier of the SPDX list, in any case (``CC-BY-4.0``, ``mit``), or an address of a licence.

    Raises
    ------
    UsageError
        If the SPDX list does not have it.
    """
    wanted = text.strip()
    if wanted.startswith(SPDX):
        wanted = wanted.removeprefix(SPDX).removesuffix(".html")
    if wanted.startswith(("https://", "http://")):
        return Licence(name=wanted, url=web_address(wanted))
    try:
        name = str(canonicalize_license_expression(wanted))
    except InvalidLicenseExpression:
        name = ""
    if not name or " " in name:
        raise UsageError(
            f"{text!r} is no licence of the SPDX list.",
            hint="For example CC-BY-4.0, CC0-1.0 or BSD-3-Clause; https://spdx.org/licenses lists all.",
        )
    return Licence(name=name, url=SPDX + quote(name))
