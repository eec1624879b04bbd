"""Claims of a token: its issuer, its receiver, its times, and the person in it. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from casaprov.archive.deposits import Person
from casaprov.archive.settings import IdentitySettings

__all__ = ["claim_at", "lists_groups", "person_in", "refusal"]

LEEWAY_S = 60
"""Seconds that the clocks of the provider and the archive may differ."""

_OTHER_TYPES = frozenset({"id", "refresh", "offline", "logout"})  # Keycloak's word for what is no access token
# An ID token has the same issuer and often the same audience; a client shows it to others. It has none of these, which
# every kind of access token has one of: RFC 9068, Keycloak, others.
_ONLY_IN_ACCESS_TOKENS = frozenset({"scope", "scp", "client_id", "token_type"})
_LONGEST = 500  # characters of an issuer or a subject: columns of the table, OpenID allows 255


def refusal(claims: Mapping[str, Any], settings: IdentitySettings, now_s: float) -> str:
    """Say why the claims of an authentic token do not let its bearer in; empty if they do.

    Parameters
    ----------
    now_s
        Present time in seconds since 1970.
    """
    if claims.get("iss") != settings.issuer:
        return "it comes from another issuer"
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= _LONGEST:
        return "it names no subject"
    ends, begins = _time(claims.get("exp")), _time(claims.get("nbf", 0))
    if ends is None or begins is None:
        return "its times are no numbers"
    if now_s >= ends + LEEWAY_S or now_s < begins - LEEWAY_S:
        return "it is not valid at this time"
    if str(claims.get("typ", "")).lower() in _OTHER_TYPES or not (
        str(claims.get("typ", "")).lower() == "bearer" or _ONLY_IN_ACCESS_TOKENS & claims.keys()
    ):
        return "it is no access token"
    if "cnf" in claims:
        return "it is bound to a key, which the archive does not ask for"
    if settings.audience not in _receivers(claims):
        return f"it was not issued for {settings.audience}"
    return ""


def person_in(claims: Mapping[str, Any], settings: IdentitySettings) -> Person:
    """Return the person that claims without a refusal describe."""
    found = claim_at(claims, settings.groups_claim)
    groups = {found} if isinstance(found, str) else set(map(str, found)) if isinstance(found, list) else set()
    # Keycloak writes a group as a path.
    names = {group.removeprefix("/") for group in groups}
    return Person(
        iss=str(claims["iss"]),
        sub=str(claims["sub"]),
        name=next((str(claims[key])[:_LONGEST] for key in ("name", "preferred_username") if claims.get(key)), ""),
        curator=bool(names & set(settings.curator_groups)),
    )


def lists_groups(claims: Mapping[str, Any], settings: IdentitySettings) -> bool:
    """Return True if claims list groups, perhaps none."""
    return claim_at(claims, settings.groups_claim) is not None


def claim_at(claims: Mapping[str, Any], name: str) -> Any:
    """Return a claim, or a member of one: ``realm_access.roles``; None if there is none."""
    if name in claims:
        return claims[name]
    value: Any = claims
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _receivers(claims: Mapping[str, Any]) -> set[str]:
    """Return the names for which a token was issued: audiences, and the client that it was issued to.

    The client stands in ``azp`` (Keycloak, whose audience is ``account`` unless told otherwise) or, in RFC 9068 and in
    an introspection, in ``client_id``.
    """
    audience = claims.get("aud", [])
    names = audience if isinstance(audience, list) else [audience]
    return {name for name in (*names, claims.get("azp"), claims.get("client_id")) if isinstance(name, str)}


def _time(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
