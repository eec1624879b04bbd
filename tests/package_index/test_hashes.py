"""Hashes of distributions from an index of packages."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from casaprov.errors import CasaprovError
from casaprov.package_index.hashes import file_hashes, index_address

FILES = {
    "numpy": [
        "numpy-1.26.4-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
        "numpy-1.26.4-cp312-cp312-macosx_11_0_arm64.whl",
        "numpy-1.26.4.tar.gz",
        "numpy-1.26.40.tar.gz",
    ],
    "wrapt": ["wrapt-2.0-cp39-abi3-win_amd64.whl", "wrapt-2.0-py3-none-any.whl", "wrapt-2.0.win32-py3.exe"],
}


class Index(BaseHTTPRequestHandler):
    """Lists the files; the sha256 of each is its name. ``broken`` is no list."""

    def do_GET(self) -> None:
        assert self.headers["Accept"] == "application/vnd.pypi.simple.v1+json"
        name = self.path.strip("/").partition("/")[2]
        if name not in FILES and name != "broken":
            self.send_error(404)
            return
        listed = [{"filename": file, "hashes": {"sha256": file}} for file in FILES.get(name, ())]
        body = b"<html>" if name == "broken" else json.dumps({"files": listed}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def index() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Index) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/simple"
        server.shutdown()


def test_each_file_of_the_version_that_fits_the_python_is_pinned(index: str) -> None:
    found = file_hashes({"numpy": "1.26.4", "wrapt": "2.0"}, "3.11.7", index)
    assert found == {
        "numpy": (FILES["numpy"][0], FILES["numpy"][2]),
        "wrapt": (FILES["wrapt"][0], FILES["wrapt"][1]),
    }


@pytest.mark.parametrize("pins", [{"numpy": "9"}, {"nosuch": "1.0"}])
def test_a_version_that_is_not_in_the_index_is_named(index: str, pins: dict[str, str]) -> None:
    (name,) = pins
    with pytest.raises(CasaprovError, match=f"has no files of {name} {pins[name]}"):
        file_hashes({"numpy": "1.26.4", **pins}, "3.11.7", index)


def test_an_index_that_gives_no_list_is_an_error(index: str) -> None:
    with pytest.raises(CasaprovError, match="gave no list of files"):
        file_hashes({"broken": "1"}, "3.11.7", index)
    with pytest.raises(CasaprovError, match="gave no list of files"):
        file_hashes({"numpy": "1.26.4"}, "3.11.7", "http://127.0.0.1:9/simple")


def test_the_index_is_that_of_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_INDEX_URL", raising=False)
    assert index_address() == "https://pypi.org/simple"
    monkeypatch.setenv("PIP_INDEX_URL", "https://index.example.org/simple/")
    assert index_address() == "https://index.example.org/simple"
