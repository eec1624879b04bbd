"""A real kernel for tests that look at each message: what is shown while a cell runs, and what stays."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client.manager import start_new_kernel

from casaprov.notebook.bundle import BUNDLE_MIME
from live_kernel import is_wait

SETTLE = "import casaprov.kernel_hook\ncasaprov.kernel_hook.settle()"
"""Code of a cell that waits until the records of all calls before are finished."""

_TIMEOUT_S = 120


@dataclass
class Shown:
    """What a cell showed.

    Attributes
    ----------
    outputs
        Data of its displays in the end, in their order, updates applied.
    history
        Every version of them, with the time it came.
    streams
        Text by stream.
    """

    outputs: list[dict[str, Any]] = field(default_factory=list)
    history: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    streams: dict[str, str] = field(default_factory=dict)
    error: str = ""

    @property
    def html(self) -> str:
        """All HTML."""
        return "\n".join(data.get("text/html", "") for data in self.outputs)

    @property
    def plain(self) -> str:
        """All plain text."""
        return "\n".join(data.get("text/plain", "") for data in self.outputs)

    def of(self, kind: str) -> list[Any]:
        """Data of one media type; not the text that is beside a record of casaprov."""
        return [data[kind] for data in self.outputs if kind in data and BUNDLE_MIME not in data]


class WatchedKernel:
    """A kernel in a folder, as Jupyter starts it for a notebook there."""

    def __init__(self, folder: Path, notebook: str = "n.ipynb") -> None:
        self.folder = folder
        # ipykernel leaves file descriptors alone where it finds itself in a test.
        environment = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
        self._shown: dict[str | None, tuple[list[dict[str, Any]], int]] = {}  # where an output is, by its display id
        self._manager, self._client = start_new_kernel(
            cwd=str(folder),
            env={**environment, "JPY_SESSION_NAME": str(folder / notebook)},
            extra_arguments=["--IPKernelApp.log_level=CRITICAL"],
        )

    def run(self, source: str, cell: str = "", *, printing: str = "") -> Shown:
        """Run a cell and return what it showed.

        Parameters
        ----------
        printing
            Text that its standard output must have: ipykernel reads file descriptor 1 in a thread of its own, and
            what was written there may come after the cell has ended.
        """
        content = {"code": source, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False}
        message = self._client.session.msg("execute_request", content, metadata={"cellId": cell} if cell else {})
        self._client.shell_channel.send(message)
        shown = Shown()
        deadline = time.monotonic() + _TIMEOUT_S
        ended = False
        while not (ended and printing in shown.streams.get("stdout", "")):
            got = self._client.get_iopub_msg(timeout=max(0.1, deadline - time.monotonic()))
            content, kind = got["content"], got["msg_type"]
            if kind == "update_display_data":
                outputs, place = self._shown[content["transient"]["display_id"]]  # of this cell or an earlier one
                outputs[place] = content["data"]
            if got["parent_header"].get("msg_id") != message["header"]["msg_id"]:
                continue
            if kind == "status" and content["execution_state"] == "idle":
                ended = True
            elif kind == "stream":
                shown.streams[content["name"]] = shown.streams.get(content["name"], "") + content["text"]
            elif kind == "error":
                shown.error = f"{content['ename']}: {content['evalue']}"
            elif is_wait(content.get("data", {})):
                continue
            elif kind in {"display_data", "execute_result", "update_display_data"}:
                shown.history.append((time.monotonic(), content["data"]))
                if kind != "update_display_data":
                    self._shown[content.get("transient", {}).get("display_id")] = shown.outputs, len(shown.outputs)
                    shown.outputs.append(content["data"])
        while self._client.get_shell_msg(timeout=_TIMEOUT_S)["parent_header"]["msg_id"] != message["header"]["msg_id"]:
            pass
        return shown

    def completions(self, line: str) -> list[str]:
        """What completes the end of a line."""
        reply = self._client.complete(line, len(line), reply=True, timeout=_TIMEOUT_S)
        found: list[str] = reply["content"]["matches"]
        return found

    def shut_down(self) -> None:
        """Ask the kernel to end, as a server does."""
        self._manager.shutdown_kernel()

    def close(self) -> None:
        """Make the kernel end."""
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)


class Corner:
    """A folder of its own in a kernel that several tests share."""

    def __init__(self, kernel: WatchedKernel, name: str) -> None:
        self.kernel = kernel
        self.name = name
        self.folder = kernel.folder / name

    def run(self, source: str, cell: str = "") -> Shown:
        """Run a cell in this folder."""
        return self.kernel.run(source, cell)

    def path(self, name: str) -> str:
        """Return the name of a file of this folder as records have it."""
        return f"{self.name}/{name}" if self.name else name


@contextmanager
def corner(kernel: WatchedKernel) -> Iterator[Corner]:
    """Make a new folder below the kernel's, in which its cells run until the records of their calls are finished."""
    name = f"corner{sum(1 for _ in kernel.folder.glob('corner*'))}"
    (kernel.folder / name).mkdir()
    kernel.run(f"import os\nos.chdir({str(kernel.folder / name)!r})")
    try:
        yield Corner(kernel, name)
    finally:
        left = kernel.run(f"{SETTLE}\nos.chdir({str(kernel.folder)!r})")
    assert left.error == ""


@contextmanager
def saved_kernel(
    folder: Path, sources: Mapping[str, str], fits: Path
) -> Iterator[tuple[WatchedKernel, dict[str, str]]]:
    """A kernel of a saved notebook with these cells, by their ids, and their sources; ``{fits!r}`` stands for `fits`."""
    filled = {name: source.replace("{fits!r}", repr(str(fits))) for name, source in sources.items()}
    cells = [nbformat.v4.new_code_cell(source, id=name) for name, source in filled.items()]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / "n.ipynb")
    kernel = WatchedKernel(folder)
    try:
        yield kernel, filled
    finally:
        kernel.close()
