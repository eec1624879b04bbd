"""An IPython shell in the process of a test that keeps its outputs."""

from __future__ import annotations

import builtins
from types import SimpleNamespace
from typing import Any

from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.interactiveshell import ExecutionInfo, ExecutionResult, InteractiveShell

__all__ = ["CapturedShell"]


class CapturedShell(InteractiveShell):  # type: ignore[misc]
    """A shell whose outputs are at hand; that of a kernel, as far as casaprov can tell."""

    def __init__(self, *, in_kernel: bool = True) -> None:
        super().__init__()
        # By this name astropy, when it is imported, would take the process of the test for one of IPython.
        vars(builtins).pop("__IPYTHON__", None)
        self.history_manager.enabled = False
        self.display_pub = CapturingDisplayPublisher()
        self.kernel = SimpleNamespace() if in_kernel else None

    @property
    def outputs(self) -> list[dict[str, Any]]:
        """Outputs so far, each as it was published."""
        found: list[dict[str, Any]] = self.display_pub.outputs
        return found

    @staticmethod
    def info(cell: str) -> ExecutionInfo:
        """Describe a cell that is about to run."""
        return ExecutionInfo(cell, True, False, True, "cell-id")

    def result(self, cell: str, execution_count: int) -> ExecutionResult:
        """Describe a cell that has run."""
        result = ExecutionResult(self.info(cell))
        result.execution_count = execution_count
        return result
