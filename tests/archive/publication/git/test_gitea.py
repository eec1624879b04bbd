"""Requests to Gitea, checked against the request that its OpenAPI description defines, and a server that obeys it."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import unquote

import pytest
from jsonschema import Draft7Validator

from archived import a_deposit
from casaprov.archive.deposits import Kind
from casaprov.archive.publication.git.gitea import Gitea, GiteaRefused, creation
from casaprov.archive.settings import GiteaSettings
from casaprov.errors import UsageError

# CreateFileOptions and Identity of Gitea's swagger.v1.json.
_IDENTITY = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "email": {"type": "string", "format": "email"}},
    "additionalProperties": False,
}
_TEXT = {"type": "string"}
CREATE_FILE = {
    "type": "object",
    "required": ["content"],
    "properties": {
        "author": _IDENTITY,
        "committer": _IDENTITY,
        "branch": _TEXT,
        "content": _TEXT,
        "dates": {"type": "object"},
        "message": _TEXT,
        "new_branch": _TEXT,
        "signoff": {"type": "boolean"},
    },
    "additionalProperties": False,
}
NOTEBOOK = b'{"nbformat": 4}'
DEPOSIT = a_deposit(kind=Kind.NOTEBOOK, filename="n14c3.ipynb", title="NGC 5921")


class _Server(BaseHTTPRequestHandler):
    files: ClassVar[dict[str, bytes]] = {}
    requests: ClassVar[list[str]] = []

    def _answer(self, status: int, body: Any = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def _begin(self) -> Any:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.requests.append(self.command)
        if self.headers["Authorization"] != "token secret":
            self._answer(401)
        elif not self.path.startswith("/api/v1/repos/EVN/N14C3/contents/"):
            self._answer(404)
        else:
            return json.loads(body or b"{}")
        return None

    def do_POST(self) -> None:
        if (body := self._begin()) is None:
            return
        name = unquote(self.path.rpartition("/")[2])
        if list(Draft7Validator(CREATE_FILE).iter_errors(body)) or name in self.files:
            self._answer(422)
        else:
            self.files[name] = base64.b64decode(body["content"])
            self._answer(201, {})

    def do_GET(self) -> None:
        if self._begin() is not None:
            name = unquote(self.path.rpartition("/")[2])
            self._answer(200 if name in self.files else 404, {"sha": "abc"})

    def do_DELETE(self) -> None:
        if (body := self._begin()) is not None:
            assert body["sha"] == "abc"
            self.files.pop(unquote(self.path.rpartition("/")[2]))
            self._answer(200, {})

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name of the base class
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GiteaSettings]:
    (tmp_path / "token").write_text("secret\n")
    _Server.files.clear()
    _Server.requests.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), _Server) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{running.server_port}/"
        yield GiteaSettings(url=url, token_file=str(tmp_path / "token"))
        running.shutdown()
        thread.join()


@pytest.fixture
def content(tmp_path: Path) -> Path:
    path = tmp_path / "notebook.ipynb"
    path.write_bytes(NOTEBOOK)
    return path


def test_a_request_is_as_gitea_describes_it() -> None:
    body = creation(DEPOSIT, NOTEBOOK)
    assert [error.message for error in Draft7Validator(CREATE_FILE).iter_errors(body)] == []
    assert base64.b64decode(body["content"]) == NOTEBOOK
    assert body["author"]["name"] == "Ada"


def test_a_notebook_is_committed_by_one_request_and_never_twice(server: GiteaSettings, content: Path) -> None:
    gitea = Gitea(server)
    gitea.prepare(DEPOSIT, content)
    assert _Server.requests == ["POST"]
    assert _Server.files == {"N14C3-0001-v1.ipynb": NOTEBOOK}
    gitea.prepare(DEPOSIT, content)
    assert len(_Server.files) == 1
    gitea.withdraw(DEPOSIT)
    gitea.withdraw(DEPOSIT)
    assert _Server.files == {}


def test_a_refusal_comes_with_its_reason(server: GiteaSettings, content: Path) -> None:
    with pytest.raises(GiteaRefused, match="no repository EVN/EA001"):
        Gitea(server).prepare(a_deposit(kind=Kind.NOTEBOOK, obs_id="EA001"), content)
    Path(server.token_file).write_text("wrong")
    with pytest.raises(GiteaRefused, match="not valid"):
        Gitea(server).prepare(DEPOSIT, content)


def test_a_missing_token_is_reported_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="none"):
        Gitea(GiteaSettings(url="http://127.0.0.1:9", token_file=str(tmp_path / "none")))
