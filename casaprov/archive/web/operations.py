"""Routes for the operator: health, metrics."""

from __future__ import annotations

import resource
import time
from collections import Counter
from typing import Any

from casaprov.archive.web.archive import Archive
from casaprov.archive.web.handler import ArchiveHandler
from casaprov.version import __version__

__all__ = ["routes"]

_STARTED = time.time()


class Health(ArchiveHandler):
    """``GET /health``."""

    async def get(self) -> None:
        """Answer as long as the event loop runs."""
        self.write_json({"status": "ok", "version": __version__})

    head = get


class Metrics(ArchiveHandler):
    """``GET /metrics``, in the text format of Prometheus."""

    async def get(self) -> None:
        """Count deposits by state, and published crates by their newest verdict."""
        text = await self.in_thread(_metrics, self.archive)
        self.set_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        _ = self.finish(text)

    head = get


def _metrics(archive: Archive) -> str:
    lines: list[str] = []
    counts = archive.repository.counts()
    _add(
        lines,
        "deposits",
        "gauge",
        "Deposits by kind and state.",
        {f'kind="{k}",state="{s}"': n for (k, s), n in counts.items()},
    )
    verdicts, changed = archive.repository.verdict_counts()
    _add(
        lines,
        "crates",
        "gauge",
        "Published crates by their newest verdict.",
        {f'verdict="{v}"': n for v, n in Counter(verdicts).items()},
    )
    _add(
        lines,
        "crates_changed_verdict",
        "gauge",
        "Published crates whose newest verdict is not that before it.",
        {"": changed},
    )
    spooled = [path.stat().st_size for path in archive.spool.folder.rglob("*") if path.is_file()]
    _add(lines, "spool_bytes", "gauge", "Bytes that have arrived and are not kept yet.", {"": sum(spooled)})
    _add(
        lines,
        "oldest_job_seconds",
        "gauge",
        "Age of the oldest deposit that waits for a worker.",
        {"": archive.repository.oldest_wait()},
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    _add(lines, "server_peak_memory_bytes", "gauge", "Largest resident memory of the server.", {"": peak})
    _add(
        lines,
        "server_started_seconds",
        "gauge",
        "Time of the server's start, in seconds since 1970.",
        {"": int(_STARTED)},
    )
    return "\n".join(lines) + "\n"


def _add(lines: list[str], name: str, kind: str, about: str, values: dict[str, float]) -> None:
    lines += [f"# HELP casaprov_archive_{name} {about}", f"# TYPE casaprov_archive_{name} {kind}"]
    lines += [
        f"casaprov_archive_{name}{'{' + labels + '}' if labels else ''} {value}" for labels, value in values.items()
    ]


def routes(archive: Archive) -> list[tuple[str, type[Any], dict[str, Any]]]:
    """Return the routes as tornado takes them."""
    context = {"archive": archive}
    return [(r"/health", Health, context), (r"/metrics", Metrics, context)]
