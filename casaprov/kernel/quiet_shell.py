"""A shell of IPython without a prompt: the names of CASA's own shell need one, also in a script."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["quiet_shell"]


def quiet_shell(module: ModuleType) -> InteractiveShell:
    """Return a shell with the namespace of `module`, which keeps no history and shows no tracebacks of its own."""
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    hooks = sys.excepthook, sys.displayhook
    config = Config()
    config.HistoryManager.enabled = False
    shell = InteractiveShell.instance(config=config, user_module=module, user_ns=module.__dict__)
    sys.excepthook, sys.displayhook = hooks
    return shell
