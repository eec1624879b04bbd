"""Tokens and passwords in texts and bytes: known forms, and values beside names such as ``api_key``.

Rules with hints: a rule is tried only where one of its hints stands, since a search for a fixed text is many times
faster than a regular expression.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from mmap import mmap

import numpy as np

__all__ = [
    "TOKEN",
    "Secret",
    "environment_secrets",
    "is_random",
    "is_secret_name",
    "secrets_in_bytes",
    "secrets_in_text",
    "secrets_in_value",
]


@dataclass(frozen=True, order=True)
class Secret:
    """A value that others must not know, and its kind, as a phrase."""

    value: str
    kind: str


@dataclass(frozen=True)
class _Rule:
    """A form of secrets: the group ``secret`` of a match is the value."""

    kind: str
    hints: tuple[str, ...]
    pattern: re.Pattern[str]
    in_bytes: bool = False
    any_case: bool = False
    named: bool = False


_NAME = (
    r"(?:api[_-]?key|access[_-]?key|auth[_-]?key|private[_-]?key|secret|token|passw(?:or)?d|passphrase|credentials?)"
)
_SECRET_NAME = re.compile(rf"(?:^|[^a-z]){_NAME}(?:$|[^a-z])", re.IGNORECASE)
_PASSWORD_NAME = re.compile("passw|passphrase", re.IGNORECASE)

_KNOWN = (
    r"gh[opsur]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{22,255}|glpat-[A-Za-z0-9_-]{20,64}"
    r"|(?:AKIA|ASIA)[A-Z0-9]{16}|sk-(?:ant-|proj-)?[A-Za-z0-9_-]{20,200}|[rs]k_live_[A-Za-z0-9]{16,99}"
    r"|xox[abeoprs]-[A-Za-z0-9-]{10,99}|AIza[A-Za-z0-9_-]{35}|hf_[A-Za-z0-9]{30,64}|npm_[A-Za-z0-9]{36}"
    r"|pypi-AgE[A-Za-z0-9_-]{50,255}|dop_v1_[0-9a-f]{64}|SG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{32,64}"
    r"|eyJ[A-Za-z0-9_-]{8,2000}\.eyJ[A-Za-z0-9_-]{8,2000}\.[A-Za-z0-9_-]{8,2000}"
)
_RULES = (
    _Rule(
        "an access token",
        ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "AKIA", "ASIA", "sk-", "k_live_", "xox",
         "AIza", "hf_", "npm_", "pypi-AgE", "dop_v1_", "SG.", "eyJ"),
        re.compile(rf"(?<![A-Za-z0-9_-])(?P<secret>{_KNOWN})(?![A-Za-z0-9_-])"),
        in_bytes=True,
    ),
    _Rule(
        "a private key",
        ("PRIVATE KEY-----",),
        re.compile(
            r"(?P<secret>-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----[\s\S]{1,9999}?-----END [A-Z ]{0,20}PRIVATE KEY-----)"
        ),
        in_bytes=True,
    ),
    _Rule(
        "a password in a URL",
        ("://",),
        re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,20}://[^\s/:@\"'<>]{0,99}:(?P<secret>[^\s/@\"'<>]{4,99})@[\w.\[-]"),
        in_bytes=True,
    ),
    _Rule(
        "an Authorization header",
        ("authorization",),
        re.compile(r"Authorization\W{1,8}(?:Bearer|Basic|Token|ApiKey)\s+(?P<secret>[A-Za-z0-9._~+/=-]{8,2000})", re.IGNORECASE),
        any_case=True,
    ),
    _Rule(
        "a key in a URL",
        ("://",),
        re.compile(
            r"://[^\s\"'<>]{1,2000}?[?&](?:access_?token|auth_?token|api_?key|token|key|passw(?:or)?d|secret"
            r"|sig|signature|x-amz-signature)=(?P<secret>[A-Za-z0-9%._~+/=-]{8,2000})",
            re.IGNORECASE,
        ),
    ),
    _Rule(
        "a value beside the name of a secret",
        ("api_key", "api-key", "apikey", "access_key", "access-key", "accesskey", "auth_key", "auth-key", "authkey",
         "private_key", "private-key", "privatekey", "secret", "token", "passw", "passphrase", "credential"),
        re.compile(
            rf"(?<![a-z])(?P<name>{_NAME})(?![a-z])[\w.-]{{0,40}}[\"']?\s?\]?\s{{0,4}}(?:=>?|:|,)\s{{0,4}}"
            r"(?:[bfru]{0,2}(?P<quote>[\"'])(?P<quoted>[^\"'\s]{4,2000})(?P=quote)"
            r"|(?P<bare>[A-Za-z0-9+/_=.~-]{16,2000})(?![A-Za-z0-9+/_=.~(\[-]))",
            re.IGNORECASE,
        ),
        any_case=True,
        named=True,
    ),
)  # fmt: skip
TOKEN = re.compile(f"(?P<secret>{_KNOWN})")
"""A token in a table: the byte before it is the length of its text, which may look like a letter."""

_LEAST_BITS = 3.0  # per character; English words have less, random letters and digits more
_LEAST_LENGTH = 16
_LEAST_OF_ENVIRONMENT = 12
_CHUNK, _OVERLAP = 2**22, 2**14
_OTHERS_TO_NUL = bytes(byte if 0x20 <= byte < 0x7F or byte == ord("\n") else 0 for byte in range(256))
_PLACEHOLDERS = ("<", "{", "$", "%(", "...", "xxx", "your", "redacted", "sha256:", "sha512:", "none", "null", "example")


def secrets_in_text(text: str) -> Iterator[Secret]:
    """Yield the secrets in a text."""
    lowered = text.lower()
    for rule in _RULES:
        where = lowered if rule.any_case else text
        if any(hint in where for hint in rule.hints):
            yield from _found(rule, text)


def secrets_in_value(name: str, value: str) -> Iterator[Secret]:
    """Yield the secrets in a value that has a name, such as that of a parameter."""
    if is_secret_name(name) and _is_secret(name, value.strip()):
        yield Secret(value.strip(), f"the value of {name}")
    yield from secrets_in_text(value)


def secrets_in_bytes(data: bytes | mmap) -> Iterator[Secret]:
    """Yield the secrets in the content of a table, image or FITS file: those of a form that no noise has."""
    for start in range(0, len(data), _CHUNK):
        text = _printable(data[max(0, start - _OVERLAP) : start + _CHUNK])
        for rule in _RULES:
            if rule.in_bytes and any(hint in text for hint in rule.hints):
                yield from _found(rule, text, TOKEN if rule is _RULES[0] else None)


def _printable(data: bytes) -> str:
    """Return the runs of printable characters that may hold a secret; all other bytes between them are NUL."""
    data += bytes(-len(data) % 4)
    values = np.frombuffer(data, np.uint8)
    is_printable = (values - 0x20 < 0x5F) | (values == ord("\n"))
    # Eleven characters in a row cover two aligned words: in noise almost no two are printable as a whole.
    words = is_printable.view(np.uint32) == 0x01010101
    pairs = np.flatnonzero(words[:-1] & words[1:])
    starts = pairs[np.diff(pairs, prepend=-2) > 1]
    ends = pairs[np.diff(pairs, append=len(words) + 1) > 1]
    runs = (data[max(0, 4 * first - 3) : 4 * last + 11] for first, last in zip(starts, ends, strict=True))
    return b"\0".join(run.translate(_OTHERS_TO_NUL) for run in runs).decode("ascii") + "\0"


def environment_secrets(variables: Mapping[str, str]) -> Iterator[Secret]:
    """Yield the values of environment variables with names of secrets."""
    for name, value in variables.items():
        if is_secret_name(name) and len(value) >= _LEAST_OF_ENVIRONMENT and is_random(value):
            yield Secret(value, f"the value of the environment variable {name}")


def is_secret_name(name: str) -> bool:
    """Return True for a name such as ``api_key`` or ``ARCHIVE_PASSWORD``."""
    return _SECRET_NAME.search(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)) is not None


def _found(rule: _Rule, text: str, pattern: re.Pattern[str] | None = None) -> Iterator[Secret]:
    for match in (pattern or rule.pattern).finditer(text):
        if not rule.named:
            value = match["secret"]
            # Names of images and programs may begin like a token: mask-of-the-inner-quarter.
            if not _is_placeholder(value) and (is_random(value) or not value.startswith("sk-")):
                yield Secret(value, rule.kind)
            continue
        value = match["quoted"] or match["bare"]
        # Without quotes a word may be a name of the program: only what no name looks like counts.
        if _is_secret("" if match["bare"] else match["name"], value):
            yield Secret(value, rule.kind)


def _is_secret(name: str, value: str) -> bool:
    if _is_placeholder(value) or "://" in value:
        return False
    if name and _PASSWORD_NAME.search(name):
        return len(value) >= 6
    return len(value) >= _LEAST_LENGTH and is_random(value)


def _is_placeholder(value: str) -> bool:
    lowered = value.lower()
    masked = lowered.rstrip("*")
    return lowered.startswith(_PLACEHOLDERS) or (value.endswith("*") and "redacted".startswith(masked))


def is_random(value: str) -> bool:
    """Return True for letters with digits in an order that no words have."""
    counts: Iterable[int] = Counter(value).values()
    bits = -sum(count / len(value) * math.log2(count / len(value)) for count in counts)
    return bits >= _LEAST_BITS and any(c.isdigit() for c in value) and any(c.isalpha() for c in value)
