"""The description of the routes, and requests drawn from it: none finds a fault of the server."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from archived import Served, served
from casaprov.archive.settings import LimitSettings

CONFIGURATION = """
[checks.missing_required_header]
expected-statuses = [400, 401, 403, 406, 412, 415, 422]
"""


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("archive"), limits=LimitSettings(keep_free=0, max_open=10_000)) as running:
        yield running


def test_every_route_is_described(archive: Served) -> None:
    paths = archive.get("/openapi.json").json()["paths"]
    assert {"/", "/api/deposits", "/api/deposits/{id}", "/api/uploads/{id}", "/health"} <= set(paths)


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
    drawn(archive, 8, seed=1)


@pytest.mark.long
def test_many_requests_drawn_from_the_description_find_nothing(archive: Served) -> None:
    drawn(archive, 90, seed=2)
