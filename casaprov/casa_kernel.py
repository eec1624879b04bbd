"""The CASA kernel: an IPython kernel with this module as an extension.

It starts CASA's shell and recording, both by :mod:`casaprov.kernel_hook`. The kernel always starts: for each part that
is missing, a sentence stands above the output of the first cell.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from IPython.core.interactiveshell import ExecutionInfo, InteractiveShell

__all__ = ["load_ipython_extension", "unload_ipython_extension"]

_log = logging.getLogger(__name__)


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Start CASA and recording in this kernel."""
    troubles = [trouble for trouble in (_start_casa(shell), _start_recording(shell)) if trouble]
    if troubles:
        _print_before_first_cell(shell, troubles)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Stop recording; CASA stays."""
    from casaprov.kernel_hook import unload_ipython_extension as stop

    stop(shell)


def _start_casa(shell: InteractiveShell) -> str:
    try:
        from casaprov.kernel_hook import start_casa

        missing = start_casa(shell)
    except Exception as error:  # noqa: BLE001 - a kernel without CASA is better than none
        _log.info("CASA did not start", exc_info=True)
        return f"CASA did not start ({type(error).__name__}: {error}); 'casaprov doctor' finds the reason."
    return f"{missing} 'casaprov doctor' tells more." if missing is not None else ""


def _start_recording(shell: InteractiveShell) -> str:
    # Not through IPython's list of extensions: a notebook's own %load_ext casaprov would be
    # answered with "already loaded".
    try:
        from casaprov.kernel_hook import load_ipython_extension as record

        record(shell)
    except Exception as error:  # noqa: BLE001 - recording never breaks a kernel
        _log.info("recording did not start", exc_info=True)
        return f"Calls are not recorded ({type(error).__name__}: {error}); 'casaprov doctor' finds the reason."
    return ""


def _print_before_first_cell(shell: InteractiveShell, sentences: list[str]) -> None:
    """Print sentences when the first cell runs; front ends show nothing that a kernel prints before."""

    def print_once(_info: ExecutionInfo) -> None:
        shell.events.unregister("pre_run_cell", print_once)
        for sentence in sentences:
            print(f"casaprov: {sentence}", file=sys.stderr)  # noqa: T201 - a kernel has no other way to speak

    shell.events.register("pre_run_cell", print_once)
