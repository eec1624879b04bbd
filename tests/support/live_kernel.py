"""A running Jupyter kernel that tests talk to as a front end does."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jupyter_client.manager import KernelManager

_TIMEOUT_S = 120

CASA_EXTENSION = ("--ext", "casaprov.casa_kernel")


def is_wait(data: Mapping[str, Any]) -> bool:
    """Return True for the sentence that a cell waits for digests, which depends on the machine's speed."""
    return str(data.get("text/plain", "")).startswith("casaprov: still digesting")


@dataclass
class Outputs:
    """What a cell showed."""

    stdout: str = ""
    stderr: str = ""
    data: list[dict[str, Any]] = field(default_factory=list)
    updates: list[dict[str, Any]] = field(default_factory=list)
    error: dict[str, Any] | None = None

    @property
    def text(self) -> str:
        """Plain text of the displayed values."""
        return "\n".join(data["text/plain"] for data in self.data if "text/plain" in data)


class LiveKernel:
    """An ipykernel in a folder of its own.

    Parameters
    ----------
    arguments
        What follows ``python -m ipykernel_launcher -f FILE``.
    first
        A cell to run at once.

    Attributes
    ----------
    ready_cpu_s
        Time that the processor had spent on the kernel after its first cell.
    """

    def __init__(
        self,
        folder: Path,
        arguments: tuple[str, ...] = (),
        *,
        first: str = "",
        python: str = sys.executable,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._manager = KernelManager(kernel_name="python3")
        spec = self._manager.kernel_spec
        assert spec is not None
        spec.argv = [python, "-m", "ipykernel_launcher", "-f", "{connection_file}", *arguments]
        self._manager.start_kernel(cwd=str(folder), env=dict(os.environ if environ is None else environ))
        self._client = self._manager.client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=_TIMEOUT_S)
        self.ready_cpu_s = float(self.good(f"{first}\n__import__('time').process_time()").text) if first else 0.0

    def run(self, cell: str, cell_id: str = "") -> Outputs:
        """Execute a cell and return what it showed, without the records of casaprov."""
        shown = Outputs()
        self._client.session.metadata = {"cellId": cell_id} if cell_id else {}

        def keep(message: dict[str, Any]) -> None:
            content = message["content"]
            if message["msg_type"] == "stream":
                setattr(shown, content["name"], getattr(shown, content["name"]) + content["text"])
            elif is_wait(content.get("data", {})):
                pass
            elif message["msg_type"] in {"display_data", "execute_result"}:
                data = {mime: value for mime, value in content["data"].items() if "casaprov" not in mime}
                shown.data.extend([data] if data else [])
            elif message["msg_type"] == "update_display_data":
                shown.updates.append(content["data"])
            elif message["msg_type"] == "error":
                shown.error = content

        self._client.execute_interactive(cell, output_hook=keep, timeout=_TIMEOUT_S)
        return shown

    def good(self, cell: str, cell_id: str = "") -> Outputs:
        """Execute a cell that must not fail."""
        shown = self.run(cell, cell_id)
        assert shown.error is None, shown.error
        return shown

    def die(self, cell: str) -> None:
        """Execute a cell that kills the kernel, and wait for its end."""
        self._client.execute(cell)
        provisioner: Any = self._manager.provisioner
        provisioner.process.wait(timeout=_TIMEOUT_S)
        self._client.stop_channels()
        self._manager.cleanup_resources()

    def inspect(self, code: str, *, detail: int = 0) -> str:
        """What a front end shows for Shift-Tab at the end of `code`."""
        content = self._client.inspect(code, len(code), detail, reply=True, timeout=_TIMEOUT_S)["content"]
        return str(content["data"].get("text/plain", ""))

    def complete(self, code: str) -> list[str]:
        """What a front end offers for Tab at the end of `code`."""
        content = self._client.complete(code, len(code), reply=True, timeout=_TIMEOUT_S)["content"]
        return list(content["matches"])

    def close(self) -> None:
        """End the kernel."""
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)


def start_plain(folder: Path) -> LiveKernel:
    """Start a plain kernel that imports casatools and casatasks."""
    return LiveKernel(folder, first="import casatools, casatasks\nfrom casatasks import *")


def start_casa(folder: Path, home: Path) -> LiveKernel:
    """Start the CASA kernel, of a user whose home folder is `home`."""
    return LiveKernel(folder, CASA_EXTENSION, first="tclean", environ=os.environ | {"HOME": str(home)})
