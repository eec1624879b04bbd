"""The container image that a session ran in, as JSON-LD, where the record names one and not only a container."""

from __future__ import annotations

import re

from casaprov.crates.nodes import Node, local, ref
from casaprov.terms import WORKFLOW_RUN

__all__ = ["container_image"]

_REFERENCE = re.compile(
    r"(?:(?P<registry>localhost(?::\d+)?|[\w-]+(?:\.[\w-]+)*(?::\d+)|[\w-]+(?:\.[\w-]+)+)/)?"
    r"(?P<name>[a-z0-9][\w./-]*)"
    r"(?::(?P<tag>\w[\w.-]{0,127}))?"
    r"(?:@sha256:(?P<sha256>[0-9a-f]{64}))?",
    re.ASCII,
)
_ENGINES = ("docker", "podman", "kubernetes")
_USUAL_REGISTRY = "docker.io"


def container_image(recorded: str) -> Node | None:
    """Return the image that a record of an environment names; None if it names none.

    Parameters
    ----------
    recorded
        ``quay.io/jupyter/base:2026-01-01``, ``podman:IMAGE``, ``apptainer:FILE``; or an engine, with or without the id of
        a container, which says nothing about its image.
    """
    engine, _, rest = recorded.partition(":")
    if engine == "apptainer" and rest:
        return _node(recorded, {"additionalType": ref(f"{WORKFLOW_RUN}#SIFImage"), "name": rest})
    if engine in _ENGINES and (engine != "podman" or not rest):
        return None
    found = _REFERENCE.fullmatch(rest if engine == "podman" else recorded)
    if found is None:
        return None
    parts = found.groupdict() | {"registry": found["registry"] or _USUAL_REGISTRY}
    return _node(recorded, {"additionalType": ref(f"{WORKFLOW_RUN}#DockerImage"), **parts})


def _node(recorded: str, facts: Node) -> Node:
    return {"@id": local("container", recorded), "@type": "ContainerImage", **facts}
