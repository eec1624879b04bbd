"""A process opens its recorder when its first call comes, and its store of results where the cache is on.

Loading what this takes is left to that call: a process that records starts without it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from casaprov.journal.folder import journal_folder
from casaprov.recording.finish_queue import FinishQueue, Patience

if TYPE_CHECKING:
    from casaprov.config import Config
    from casaprov.digests.digester import Digester
    from casaprov.recompute.lookup import Recomputation
    from casaprov.recorder import Recorder
    from casaprov.records.model import ScriptRun, Tier

__all__ = ["Opening"]


@dataclass(frozen=True, kw_only=True)
class Opening:
    """How a process opens its recorder and its store of results.

    Attributes
    ----------
    folder
        The working folder.
    finish_queue
        Finishes records while the user's code goes on.
    config
        Returns the settings, which the user may change in the session.
    digester
        Returns the digester of the session, chosen by the settings.
    on_notice
        Called with sentences for the user.
    left_out
        Returns the reason why calls of no task are restored at present; empty if there is none.
    script
        The run of a script that is recorded; None in a kernel.
    """

    folder: Path
    finish_queue: FinishQueue
    config: Callable[[], Config]
    digester: Callable[[], Digester]
    on_notice: Callable[[str], None]
    left_out: Callable[[], str] = lambda: ""
    script: ScriptRun | None = None

    def recorder(self, notebook: Path) -> Recorder:
        """Open a recorder for a notebook or script."""
        from casaprov.casa.session import new_session, open_recorder, tier_by_size

        def tier(path: Path) -> Tier:
            return tier_by_size(self.config())(path)

        return open_recorder(
            replace(new_session(self.folder, notebook.name), script=self.script),
            journal_folder(notebook),
            self.digester(),
            tier,
            self.finish_queue,
            keep_up_to=lambda: self.config().keep_up_to,
            patience=Patience(lambda: self.config().patience / 100),
        )

    def recomputation(self, recorder: Recorder, notebook: Path) -> Recomputation:
        """Open the store of results of a notebook or script."""
        from casaprov.casa.recomputing import open_recomputation

        def left_out(task: str) -> str:
            return f"The setting not_cached names {task}." if task in self.config().not_cached else self.left_out()

        return open_recomputation(
            recorder, notebook, self.config(), digester=self.digester, left_out=left_out, on_notice=self.on_notice
        )
