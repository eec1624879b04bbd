"""The store of results of a session, with the versions, threads and open files of CASA's process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from casaprov.casa.installed import held
from casaprov.casa.installed.environment import computing_environment
from casaprov.config import Config
from casaprov.digests.digester import Digester
from casaprov.recompute.lookup import Recomputation
from casaprov.recompute.restore import recover
from casaprov.recompute.store.opening import open_store
from casaprov.recorder import Recorder

__all__ = ["open_recomputation"]


def open_recomputation(
    recorder: Recorder,
    notebook: Path,
    config: Config,
    *,
    digester: Callable[[], Digester],
    left_out: Callable[[str], str],
    on_notice: Callable[[str], None],
) -> Recomputation:
    """Open the store of results of a notebook: beside it, unless the settings name another.

    Parameters
    ----------
    digester
        Returns the digester of the session.
    left_out
        Returns the reason why calls of a task always run; empty if there is none.
    on_notice
        Called with sentences for the user.
    """
    session = recorder.session
    intents = notebook.parent / ".casaprov" / "restoring"
    for sentence in recover(intents):
        on_notice(f"casaprov: {sentence}")
    return Recomputation(
        store=open_store(config, notebook.parent, on_notice=lambda text: on_notice(f"casaprov: {text}")),
        base=Path(session.folder),
        intents=intents,
        environment=lambda: computing_environment(session.environment),
        measure=recorder.measure,
        remember=lambda path, stamps, measured: digester().remember(path, stamps, measured),
        held=held,
        left_out=left_out,
        notebook=session.notebook,
    )
