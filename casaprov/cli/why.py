"""The command ``casaprov why``: reasons why calls ran or were restored."""

from __future__ import annotations

from pathlib import Path

import click

from casaprov.cli.console import extra, out
from casaprov.errors import UsageError

__all__ = ["why"]


@click.command()
@click.argument("notebook", type=click.Path(dir_okay=False, path_type=Path))
@click.argument("call", required=False)
def why(*, notebook: Path, call: str | None) -> None:
    """Say why the calls of the last run of a notebook ran or were restored.

    CALL is the number of a call in that run, the name of a task, or an id.

    \b
    Example:
      casaprov why ngc5921.ipynb tclean
    """
    with extra("jupyter"):
        from casaprov.notebook.subject import open_subject
    from casaprov.cli.render import issues_view
    from casaprov.lineage.reasons import reasons

    document, _, _ = open_subject(notebook)
    last = document.activities[-1].session if document.activities else ""
    here = [activity for activity in document.activities if activity.session == last]
    found = [a for a in here if call in (None, a.task, str(a.number_in_session))]
    found = found or [activity for activity in document.activities if activity.id == call]
    if not found:
        raise UsageError(
            f"There is no call {call} in {notebook}.", hint=f"'casaprov inspect {notebook}' lists the calls."
        )
    lines = [f"{activity.number_in_session}: {' '.join(reasons(document, activity))}" for activity in found]
    out.print(issues_view(lines), soft_wrap=True)
