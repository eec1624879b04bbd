"""The differences between two runs as a page that needs nothing else: no script, no font, no network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, Template

from casaprov.diffs.model import ProductDiff, RunDiff, RunFacts
from casaprov.diffs.wording import call_changes, product_text
from casaprov.records.wording import clock

__all__ = ["diff_page"]

_ROLES = {
    "cause": "cause",
    "effect": "follows",
    "environment": "other versions",
    "unexplained": "unexplained",
    "no-effect": "no effect",
    "same": "",
}


def diff_page(found: RunDiff) -> str:
    """Return the page."""
    return _template().render(
        answer=_plain(found.answer),
        runs=[_run(run) for run in (found.first, found.second)],
        environment=[
            {"name": _plain(e.name), "was": _plain(e.recorded), "now": _plain(e.now)} for e in found.environment
        ],
        calls=list(_calls(found)),
        products=[_product(found, product) for product in found.products],
    )


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("casaprov.diffs", "."), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("diff.html")


def _run(run: RunFacts) -> Mapping[str, Any]:
    return {"name": _plain(run.name), "time": clock(run.started_at) if run.started_at else "", "calls": run.calls}


def _calls(found: RunDiff) -> Iterator[Mapping[str, Any]]:
    """Yield the calls that differ, and the number of those that do not between them."""
    same = 0
    for place, call in enumerate(found.calls):
        changes = list(map(_plain, call_changes(call)))
        if call.role == "same" and not changes:
            same += 1
            continue
        yield {
            "place": place,
            "same_before": same,
            "number": call.number,
            "task": _plain(call.task),
            "role": call.role,
            "part": _ROLES[call.role],
            "changes": changes,
            "products": [(_plain(one.path), _plain(product_text(one))) for one in call.products],
        }
        same = 0
    yield {"same_before": same, "number": ""}


def _product(found: RunDiff, product: ProductDiff) -> Mapping[str, Any]:
    verdict = product.comparison.verdict if product.comparison is not None else f"only in the {product.presence} run"
    causes = [found.causes[cause].call for cause in product.causes]
    return {
        "path": _plain(product.path),
        "first_path": _plain(product.first_path),
        "kind": product.kind,
        "verdict": verdict,
        "class": "good" if product.is_same else "bad" if product.differs else "open",
        "text": _plain(product_text(product)) if not product.is_same else "",
        "causes": [(place, f"{found.calls[place].number} {_plain(found.calls[place].task)}") for place in causes],
    }


def _plain(text: str) -> str:
    """Return a text on one line that can be encoded and holds no control characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).encode("utf-8", "replace").decode().split())
