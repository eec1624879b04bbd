"""Provenance and reproducibility of CASA notebooks.

``%load_ext casaprov`` in a notebook records every CASA task call; the
``casaprov`` command packs, validates, replays and compares what was recorded.

Importing this package loads neither CASA, IPython nor any other heavy library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from casaprov.recompute.served import nocache
    from casaprov.recording.activities import activity

    __version__: str

__all__ = ["__version__", "activity", "load_ipython_extension", "nocache", "unload_ipython_extension"]


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Start recording in this kernel; IPython calls it for ``%load_ext casaprov``."""
    from casaprov import kernel_hook

    kernel_hook.load_ipython_extension(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Stop recording in this kernel; IPython calls it for ``%unload_ext casaprov``."""
    from casaprov import kernel_hook

    kernel_hook.unload_ipython_extension(shell)


def __getattr__(name: str) -> Any:
    if name == "activity":
        from casaprov.recording.activities import activity

        return activity
    if name == "nocache":
        from casaprov.recompute.served import nocache

        return nocache
    # Not at import: importlib.metadata costs a third of this package's import time, and few ask for the version.
    if name == "__version__":
        from casaprov.version import __version__

        return __version__
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
