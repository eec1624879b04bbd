"""The description of the routes, and requests drawn from it: none finds a fault of the server."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from archived import CRATE, Served, served
from casaprov.archive.app.composition import make_app
from casaprov.archive.settings import LimitSettings

NOTEBOOK = b'{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}'
CONFIGURATION = """
[checks.missing_required_header]
expected-statuses = [400, 401, 403, 406, 412, 415, 422]
"""


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("archive"), limits=LimitSettings(keep_free=0, max_open=10_000)) as running:
        for number in range(2):
            running.deposit(CRATE if number else NOTEBOOK, "n.zip" if number else "n.ipynb")
        running.work()
        yield running


def test_every_route_is_described(archive: Served) -> None:
    paths = archive.get("/openapi.json").json()["paths"]
    examples = {"crate": "N14C3-0001", "version": "1", "path": "a.png", "obs_id": "N14C3", "owner": "EVN", "id": "0"}
    described = [path.format(**examples) for path in paths]
    (router,) = make_app(archive.archive).default_router.rules
    for rule in router.target.rules:
        pattern = rule.matcher.regex
        assert any(pattern.fullmatch(path) for path in described), pattern.pattern
    for path in described:
        assert any(rule.matcher.regex.fullmatch(path) for rule in router.target.rules), path


def drawn(archive: Served, seconds: int, seed: int) -> None:
    # A version of tus that is not ours is answered with 412, as tus asks.
    Path("schemathesis.toml").write_text(CONFIGURATION)
    command = [
        *(str(Path(sys.executable).with_name("schemathesis")), "run", f"{archive.url}/openapi.json"),
        *("--url", archive.url, "-H", "Authorization: Bearer ada", "--max-time", str(seconds), "--no-color"),
        *("--seed", str(seed)),
        # No schema says that a file is a valid notebook of a known observation.
        # It takes a header that it made up for wrong data, and HTTP lets servers ignore that.
        *("--exclude-checks", "positive_data_acceptance,negative_data_rejection"),
        # It cannot write this content type; tuspy tests the operation in test_upload_routes.py.
        *("--exclude-operation-id", "continueUpload"),
    ]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-20_000:]
    assert archive.get("/health").status_code == 200


def test_requests_drawn_from_the_description_find_nothing(archive: Served) -> None:
    drawn(archive, 20, seed=1)


@pytest.mark.long
def test_many_requests_drawn_from_the_description_find_nothing(archive: Served) -> None:
    drawn(archive, 300, seed=2)
