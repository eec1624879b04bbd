"""Tokens and passwords are found; digests, uids and names of programs are none."""

from __future__ import annotations

import random
import string

import pytest

from casaprov.privacy.secrets import (
    environment_secrets,
    is_secret_name,
    secrets_in_bytes,
    secrets_in_text,
    secrets_in_value,
)

RANDOM = random.Random(18)


def letters(count: int, alphabet: str = string.ascii_letters + string.digits) -> str:
    """Made-up characters: no scanner of secrets is to stumble over this file."""
    return "".join(RANDOM.choice(alphabet) for _ in range(count - 2)) + "a1"


GITHUB = "ghp" + "_" + letters(36)
KEY = letters(32)
WEB_TOKEN = f"eyJ{letters(20)}.eyJ{letters(40)}.{letters(43)}"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (f"TOKEN = '{GITHUB}'", GITHUB),
        (f"git clone https://x-access-token:{GITHUB}@github.com/a/b", GITHUB),
        (f"os.environ['ARCHIVE_API_KEY'] = '{KEY}'", KEY),
        (f'{{"api_key": "{KEY}"}}', KEY),
        (f"ARCHIVE_SECRET={KEY}\n", KEY),
        (f"login(token='{KEY}')", KEY),
        ("password = 'correct horse'.split()[0]", None),
        ("passwd: 'tr0ub4dor'", "tr0ub4dor"),
        ("https://anna:s3same@archive.example.org/x", "s3same"),
        (f"headers = {{'Authorization': 'Bearer {KEY}'}}", KEY),
        (f"https://archive.example.org/get?id=1&access_token={KEY}", KEY),
        (f"cookie {WEB_TOKEN}", WEB_TOKEN),
        ("AKIA" + letters(14, string.ascii_uppercase) + "Z9", None),
    ],
)
def test_a_secret_is_found(text: str, value: str | None) -> None:
    found = {secret.value for secret in secrets_in_text(text)}
    if value is None:
        assert all(one not in ("correct", "horse") for one in found)
    else:
        assert value in found


@pytest.mark.parametrize(
    "text",
    [
        f"source_digest sha256:{letters(64, '0123456789abcdef')}",
        "member uid://A002/X12345/X678 of uid://A001/X133d/X2b2",
        "token = get_token()",
        "secret = os.environ['ARCHIVE_SECRET']",
        "api_key = config.archive.settings.key_of_the_archive",
        "password = '<your password>'",
        "password = '********'",
        "tokens = ['start', 'stop']",
        "https://archive.example.org:8080/tap/sync?id=1&key=name",
        "imhead('m.image', mode='put', hdkey='observer', hdvalue='A. N. Other')",
        "git@github.com:a/b.git",
        "ivo://jive.eu/~?2019-01-01_3C84_5000MHz",
        "2026-05-01 10:00:00\tINFO\ttclean::::casa\tkeyword token: none",
        "https://anna:REDACTED**@archive.example.org/x",
    ],
)
def test_what_is_no_secret_is_not_found(text: str) -> None:
    assert list(secrets_in_text(text)) == []


def test_the_name_of_a_value_counts() -> None:
    assert [secret.value for secret in secrets_in_value("api_key", KEY)] == [KEY]
    assert list(secrets_in_value("refant", KEY)) == []
    assert is_secret_name("accessToken")
    assert not any(map(is_secret_name, ("tokenizer", "hdkey", "keys", "secretary", "mykeyword")))


def test_bytes_of_a_table_are_searched_for_known_forms() -> None:
    noise = RANDOM.randbytes(100_000)
    data = noise + b"\0https://u:" + KEY.encode() + b"@archive.example.org/\0" + noise + GITHUB.encode() + b"\0" + noise
    assert {secret.value for secret in secrets_in_bytes(data)} == {KEY, GITHUB}
    assert list(secrets_in_bytes(RANDOM.randbytes(2_000_000))) == []


def test_values_of_the_environment_are_secrets_by_their_names() -> None:
    variables = {"ARCHIVE_API_KEY": KEY, "HOME": "/home/anna", "TOKEN": "short", "SSH_KEY_PATH": f"/{KEY}", "KEYS": KEY}
    assert [secret.value for secret in environment_secrets(variables)] == [KEY]
