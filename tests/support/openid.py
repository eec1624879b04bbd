"""A real OpenID provider (oidc-provider of npm), and a person at a browser who logs in there."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import pytest
import requests

__all__ = ["OPENID_PROVIDER", "OpenIdProvider", "installed_provider", "running_provider"]

OPENID_PROVIDER = "oidc-provider@9.13.3"
_SCRIPT = Path(__file__).with_name("openid_provider.mjs")


@dataclass(frozen=True)
class OpenIdProvider:
    """A provider that runs."""

    url: str

    def rotate(self) -> str:
        """Let it sign with a new key; return its key id."""
        return requests.post(f"{self.url}/rotate", timeout=30).text

    def fetches(self) -> int:
        """Return how often its keys were fetched."""
        return int(requests.get(f"{self.url}/fetches", timeout=30).text)

    def log_in(self, who: str, client: str = "casaprov-archive", resource: str = "") -> dict[str, Any]:
        """Log in as a browser does, with code and PKCE; return the answer with the tokens."""
        verifier = secrets.token_urlsafe(48)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        back = f"{self.url}/back"
        asked = {"client_id": client, "redirect_uri": back, "response_type": "code", "prompt": "consent"}
        asked |= {"scope": "openid profile offline_access deposit", "code_challenge": challenge}
        asked |= {"code_challenge_method": "S256"} | ({"resource": resource} if resource else {})
        with requests.Session() as browser:
            answer = browser.get(f"{self.url}/auth", params=asked, allow_redirects=False, timeout=30)
            code = ""
            while not code:
                if answer.is_redirect:
                    address = urljoin(answer.url, answer.headers["Location"])
                    if address.startswith(back):
                        found = parse_qs(urlsplit(address).query)
                        assert "code" in found, found
                        code = found["code"][0]
                        break
                    answer = browser.get(address, allow_redirects=False, timeout=30)
                    continue
                form = re.search(r'<form[^>]*action="([^"]+)"', answer.text)
                prompt = re.search(r'name="prompt" value="(\w+)"', answer.text)
                assert form, answer.text
                assert prompt, answer.text
                filled = {"prompt": prompt[1], "login": who, "password": "any"}
                answer = browser.post(urljoin(answer.url, form[1]), filled, allow_redirects=False, timeout=30)
        request = {"grant_type": "authorization_code", "code": code, "redirect_uri": back, "client_id": client}
        return self._tokens(request | {"code_verifier": verifier} | ({"resource": resource} if resource else {}))

    def refresh(self, refresh_token: str, client: str = "casaprov-archive", resource: str = "") -> dict[str, Any]:
        """Change a refresh token for new tokens."""
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token, "client_id": client}
        return self._tokens(form | ({"resource": resource} if resource else {}))

    def revoke(self, token: str, client: str = "casaprov-archive") -> None:
        """Make an opaque token invalid."""
        form = {"token": token, "client_id": client}
        requests.post(f"{self.url}/token/revocation", form, timeout=30).raise_for_status()

    def _tokens(self, form: dict[str, str]) -> dict[str, Any]:
        answer = requests.post(f"{self.url}/token", form, timeout=30)
        found = answer.json()
        assert isinstance(found, dict)
        return found


def installed_provider(folder: Path) -> None:
    """Install the provider into a folder; skip the test where that is not possible."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("there is no Node.js for a real OpenID provider: apt-get install nodejs npm")
    folder.mkdir(parents=True, exist_ok=True)
    command = [
        "npm",
        "install",
        "--no-audit",
        "--no-fund",
        "--ignore-scripts",
        "--prefix",
        str(folder),
        OPENID_PROVIDER,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, cwd=folder)
    if done.returncode:
        pytest.skip(f"npm could not install {OPENID_PROVIDER}: {done.stderr[-300:]}")


@contextmanager
def running_provider(folder: Path) -> Iterator[OpenIdProvider]:
    """Run the provider that is installed in a folder."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = ["node", str(_SCRIPT), str(port)]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=sys.stderr, text=True) as process:
        try:
            assert process.stdout is not None
            assert any("ready" in line for line in process.stdout), "the provider did not start"
            yield OpenIdProvider(f"http://127.0.0.1:{port}")
        finally:
            process.kill()
