"""Container images: named where the record names one, and not guessed from a container."""

from __future__ import annotations

import pytest

from casaprov.crates.containers import container_image

DIGEST = "0" * 64


@pytest.mark.parametrize(
    ("recorded", "parts"),
    [
        ("quay.io/jupyter/base:2026-01-05", ("quay.io", "jupyter/base", "2026-01-05", None)),
        ("podman:docker.io/library/python:3.11", ("docker.io", "library/python", "3.11", None)),
        ("jupyter/base", ("docker.io", "jupyter/base", None, None)),
        ("localhost:5000/a:b", ("localhost:5000", "a", "b", None)),
        (f"podman:ghcr.io/x/y@sha256:{DIGEST}", ("ghcr.io", "x/y", None, DIGEST)),
    ],
)
def test_an_image_has_its_parts(recorded: str, parts: tuple[str | None, ...]) -> None:
    node = container_image(recorded)
    assert node is not None
    assert tuple(node.get(key) for key in ("registry", "name", "tag", "sha256")) == parts
    assert node["additionalType"]["@id"].endswith("#DockerImage")


def test_a_file_of_apptainer_is_an_image_too() -> None:
    node = container_image("apptainer:casa 6.7.sif")
    assert node is not None
    assert node["name"] == "casa 6.7.sif"
    assert node["additionalType"]["@id"].endswith("#SIFImage")


@pytest.mark.parametrize(
    "recorded", ["", "docker", "docker:0123456789ab", "podman", "kubernetes", "podman:a b", "$(x)"]
)
def test_a_container_is_no_image(recorded: str) -> None:
    assert container_image(recorded) is None
