"""Tokens of a real OpenID provider: oidc-provider, of which only the issuer's URL is configured."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import secrets
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from casaprov.archive.deposits import Person
from casaprov.archive.identity.issuer import UNKNOWN_KEY_S, Issuer, IssuerUnavailable
from casaprov.archive.identity.oidc import OidcIdentity
from casaprov.archive.settings import IdentitySettings, Settings
from made_once import made_once
from openid import OpenIdProvider, installed_provider, running_provider

AUD, AZP = "urn:casaprov-archive", "urn:keycloak"


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenIdProvider]:
    with running_provider(made_once(tmp_path_factory, "openid-provider", installed_provider)) as running:
        yield running


def _settings(provider: OpenIdProvider, **more: Any) -> Settings:
    return Settings(root=Path(), identity=IdentitySettings(issuer=provider.url, **more))


def _persons(identity: OidcIdentity, *tokens: str) -> list[Person | None]:
    async def ask() -> list[Person | None]:
        return list(await asyncio.gather(*(identity.person(token) for token in tokens)))

    return asyncio.run(ask())


def _person(identity: OidcIdentity, token: str) -> Person | None:
    return _persons(identity, token)[0]


def _with_key(token: str, key_id: str) -> str:
    """Return a token that names another key."""
    head, rest = token.split(".", 1)
    header = json.loads(base64.urlsafe_b64decode(head + "=="))
    return f"{_part(header | {'kid': key_id})}.{rest}"


def _part(value: dict[str, Any]) -> str:
    return _base64(json.dumps(value).encode())


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@pytest.mark.parametrize(
    ("client", "resource"),
    [("other-program", AUD), ("casaprov-archive", AZP), ("casaprov-archive", "")],
    ids=["audience", "azp", "opaque"],
)
def test_each_kind_of_token_stands_for_its_person(provider: OpenIdProvider, client: str, resource: str) -> None:
    token = provider.log_in("astronomer", client, resource)["access_token"]
    assert (token.count(".") == 2) == bool(resource)
    person = _person(OidcIdentity(_settings(provider)), token)
    assert person is not None
    assert (person.iss, person.sub, person.curator) == (provider.url, "astronomer", False)


@pytest.mark.parametrize("resource", [AUD, AZP, ""], ids=["audience", "azp", "opaque"])
def test_a_group_makes_a_curator(provider: OpenIdProvider, resource: str) -> None:
    token = provider.log_in("curator", resource=resource)["access_token"]
    person = _person(OidcIdentity(_settings(provider)), token)
    assert person is not None
    assert person.curator
    without = OidcIdentity(_settings(provider, curator_groups=("others",)))
    assert _person(without, token) == replace(person, curator=False)


@pytest.mark.parametrize("resource", ["urn:other-archive", AZP, ""], ids=["audience", "azp", "opaque"])
def test_a_token_for_another_program_is_refused(provider: OpenIdProvider, resource: str) -> None:
    token = provider.log_in("astronomer", "other-program", resource)["access_token"]
    assert _person(OidcIdentity(_settings(provider)), token) is None


def test_what_is_no_access_token_is_refused(provider: OpenIdProvider) -> None:
    answer = provider.log_in("astronomer")
    identity = OidcIdentity(_settings(provider))
    assert _persons(identity, answer["id_token"], answer["refresh_token"], "", "a.b.c", "x" * 20_000) == [None] * 5


def test_refresh_tokens_rotate_and_the_new_access_token_is_accepted(provider: OpenIdProvider) -> None:
    identity = OidcIdentity(_settings(provider))
    first = provider.log_in("astronomer")
    second = provider.refresh(first["refresh_token"])
    assert second["refresh_token"] != first["refresh_token"]
    person = _person(identity, second["access_token"])
    assert person is not None
    assert person.sub == "astronomer"
    assert provider.refresh(first["refresh_token"])["error"] == "invalid_grant"
    # A refresh token that was used twice may be stolen: the provider ends all tokens of that login.
    assert _person(OidcIdentity(_settings(provider)), second["access_token"]) is None


def test_an_opaque_token_that_was_revoked_is_refused_soon(provider: OpenIdProvider) -> None:
    now = [time.time()]
    identity = OidcIdentity(_settings(provider), clock=lambda: now[0])
    token = provider.log_in("astronomer")["access_token"]
    assert _person(identity, token) is not None
    provider.revoke(token)
    now[0] += 31
    assert _person(identity, token) is None


def test_a_client_with_a_secret_asks_about_tokens_of_others(provider: OpenIdProvider, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret of the archive\n")
    token = provider.log_in("astronomer")["access_token"]
    asking = {"client_id": "archive-server", "client_secret_file": str(secret)}
    assert _person(OidcIdentity(_settings(provider, **asking)), token) is not None


def test_a_rotation_of_keys_locks_nobody_out_and_costs_one_fetch(provider: OpenIdProvider) -> None:
    identity = OidcIdentity(_settings(provider))
    old = provider.log_in("astronomer", resource=AUD)["access_token"]
    assert _person(identity, old) is not None
    before = provider.fetches()
    provider.rotate()
    new = [provider.log_in("astronomer", resource=AUD)["access_token"] for _ in range(2)]
    found = _persons(identity, *new, *new)
    assert all(person is not None and person.sub == "astronomer" for person in found)
    assert provider.fetches() == before + 1


def test_200_unknown_keys_cost_one_fetch(provider: OpenIdProvider) -> None:
    now = [0.0]
    identity = OidcIdentity(_settings(provider), Issuer(provider.url, clock=lambda: now[0]))
    token = provider.log_in("astronomer", resource=AUD)["access_token"]
    assert _person(identity, token) is not None
    before = provider.fetches()
    invented = [_with_key(token, secrets.token_hex()) for _ in range(200)]
    assert _persons(identity, *invented) == [None] * 200
    assert provider.fetches() == before + 1
    assert _person(identity, token) is not None
    # Then a real rotation is seen as soon as the time between two fetches is over.
    provider.rotate()
    new = provider.log_in("astronomer", resource=AUD)["access_token"]
    now[0] += UNKNOWN_KEY_S
    assert _person(identity, new) is not None


def test_a_forged_token_is_refused(provider: OpenIdProvider) -> None:
    identity = OidcIdentity(_settings(provider))
    true = provider.log_in("astronomer", resource=AUD)["access_token"]
    claims = json.loads(base64.urlsafe_b64decode(true.split(".")[1] + "=="))
    key_id = json.loads(base64.urlsafe_b64decode(true.split(".")[0] + "=="))["kid"]
    strange = RSAKey.generate_key(2048)
    forged = jwt.encode({"alg": "RS256", "kid": key_id}, claims | {"sub": "curator"}, strange)
    # joserfc itself refuses to sign with a public key as a shared secret.
    signed = f"{_part({'alg': 'HS256', 'kid': key_id})}.{true.split('.')[1]}"
    symmetric = f"{signed}.{_base64(hmac.digest(strange.as_pem(private=False), signed.encode(), 'sha256'))}"
    unsigned = f"{_part({'alg': 'none', 'kid': key_id})}.{true.split('.')[1]}."
    assert _person(identity, true) is not None
    assert _persons(identity, forged, symmetric, unsigned) == [None] * 3


def test_a_provider_that_does_not_answer_is_named() -> None:
    settings = Settings(root=Path(), identity=IdentitySettings(issuer="http://127.0.0.1:9"))
    with pytest.raises(IssuerUnavailable, match=r"127\.0\.0\.1:9"):
        _person(OidcIdentity(settings), "opaque-token")


def test_an_address_without_tls_is_not_asked() -> None:
    with pytest.raises(IssuerUnavailable, match=r"openid\.example\.org"):
        asyncio.run(Issuer("http://openid.example.org").keys(None))
