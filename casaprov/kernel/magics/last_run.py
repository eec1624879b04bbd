"""``%casaprov diff``: the changes since an earlier run of this notebook."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from casaprov.diffs.model import RunDiff
from casaprov.diffs.run import Run, present_file, runs_of, session_run
from casaprov.diffs.run_diff import diff_runs
from casaprov.diffs.wording import call_changes, environment_text, product_text, same_calls_text
from casaprov.errors import UsageError
from casaprov.journal.folder import journal_folder, present_folders, tree_path
from casaprov.kernel.page import Line, Part, Table
from casaprov.records.model import Document

__all__ = ["diff_page"]

_MOST_ROWS = 100
_PARTS = {"cause": "cause", "effect": "follows", "environment": "other versions", "no-effect": "no effect", "same": ""}


def diff_page(document: Document, notebook: Path, session: str, earlier: str) -> list[Part]:
    """Compare this session with an earlier one and return the answer as a page.

    Parameters
    ----------
    session
        Id of this session; the last one is taken as long as it has no call.
    earlier
        Names the earlier session, as for :func:`casaprov.diffs.run.session_run`; empty for the one before this.

    Raises
    ------
    UsageError
        If there is no such session.
    """
    journal = journal_folder(notebook)
    folders = present_folders(journal, document)
    whole = Run(
        name=notebook.name,
        document=document,
        tree=lambda digest: tree_path(journal, digest),
        file=lambda entity: present_file(entity, folders[entity.session] / entity.path),
    )
    runs = [one.id for one in runs_of(document)]
    here = runs.index(session) if session in runs else len(runs) - 1
    if not earlier and here < 1:
        raise UsageError(
            "This is the first run that is recorded, so there is nothing to compare it with.",
            hint="Restart the kernel and run the notebook again, or ask 'casaprov diff' in a terminal.",
        )
    first = session_run(whole, earlier or runs[here - 1])
    return _page(diff_runs(first, session_run(whole, runs[here]), same_listing=_same_listing))


def _same_listing(one: Path, at: datetime, two: Path, then: datetime, moved: Mapping[str, str]) -> bool:
    from casaprov.comparison.listings import same_listing

    return same_listing(one, at, two, then, moved)


def _page(found: RunDiff) -> list[Part]:
    page: list[Part] = [Line(found.answer), Line(f"{found.first.name} → {found.second.name}")]
    if found.environment:
        texts = (environment_text(one.name, one.recorded, one.now) for one in found.environment)
        page.append(Line("; ".join(texts), "Versions and settings:"))
    rows, same = [], 0
    for call in found.calls:
        changes = list(call_changes(call))
        if changes or call.role != "same":
            rows.append((call.number, call.task, "; ".join(changes), _PARTS.get(call.role, call.role)))
        else:
            same += 1
    if rows:
        notes = (same_calls_text(same),) if same else ()
        page.append(Table("Calls that differ", ("call", "task", "what differs", ""), tuple(rows[:_MOST_ROWS]), notes))
    products = []
    for product in found.products:
        if not product.is_same:
            verdict = (
                product.comparison.verdict if product.comparison is not None else f"only in the {product.presence}"
            )
            causes = (found.calls[found.causes[cause].call] for cause in product.causes)
            because = ", ".join(f"call {call.number} {call.task}" for call in causes)
            products.append((product.path, verdict, product_text(product), because))
    if products:
        count = len(found.products) - len(products)
        notes = (f"{count} other products are the same.",) if count else ()
        head = ("product", "verdict", "", "because of")
        page.append(Table("Products that differ", head, tuple(products[:_MOST_ROWS]), notes))
    return page
