"""A real Jupyter Server and notebooks in a real browser, as a user sees them."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from playwright.sync_api import Browser, Locator, Page, Response, sync_playwright

__all__ = ["APPLICATIONS", "JupyterServer", "NotebookPage", "browser", "chromium", "server", "wait_until"]

APPLICATIONS = {"JupyterLab": "lab/workspaces/{name}/tree/{path}", "Notebook 7": "notebooks/{path}"}
"""Where each application opens a notebook; JupyterLab with no other notebook beside it."""

_PLACES = {
    "JUPYTER_CONFIG_DIR": "config",
    "JUPYTER_DATA_DIR": "data",
    "JUPYTER_RUNTIME_DIR": "runtime",
    "JUPYTERLAB_SETTINGS_DIR": "settings",
    "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
}
_SETTINGS = {
    # Every cell in the page, wherever it is scrolled to; no questions about news.
    "notebook-extension/tracker": {"windowingMode": "none", "autoStartDefaultKernel": True},
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "docmanager-extension/plugin": {"autosave": False, "renameUntitledFileOnSave": False},
}
_COLLABORATION = {f"@jupyter/{name}": True for name in ("collaboration-extension", "docprovider-extension")}
_ARGUMENTS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync"
)
_DONE = re.compile(r"\[\d+\]:")


def chromium() -> str | None:
    """Path of Chromium; None if there is none."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@contextmanager
def browser() -> Iterator[Browser]:
    """Run Chromium without a screen."""
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium(), args=_ARGUMENTS.split())
        try:
            yield running
        finally:
            running.close()


class JupyterServer:
    """A Jupyter Server with JupyterLab and Notebook 7, with a configuration of its own.

    Attributes
    ----------
    folder
        Where its notebooks lie.
    private
        Where its own files lie.
    """

    def __init__(self, folder: Path, port: int, token: str) -> None:
        self.folder = folder
        self.private = folder.with_name(f"{folder.name}-jupyter")  # kernels look at what changes in their folder
        self.environment = {**os.environ, **{name: str(self.private / place) for name, place in _PLACES.items()}}
        self._port = port
        self._token = token

    def url(self, path: str) -> str:
        """Address of a page, with the key to it."""
        return f"http://127.0.0.1:{self._port}/{quote(path)}?token={self._token}"

    def request(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Ask the server's API; return its answer."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url(f"api/{path}"), data=data, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def command(self, *words: str) -> None:
        """Run a program of this Python as a user of this server."""
        subprocess.run([sys.executable, "-m", *words], cwd=self.folder, env=self.environment, check=True)

    def stop_kernels(self) -> None:
        """End every session, so that the next test pays for its own kernels only."""
        for session in self.request("GET", "sessions"):
            self.request("DELETE", f"sessions/{session['id']}")


@contextmanager
def server(folder: Path, *, collaboration: bool = False) -> Iterator[JupyterServer]:
    """Run a server whose notebooks lie in `folder`, with jupyter-collaboration or without."""
    private = folder.with_name(f"{folder.name}-jupyter")
    for name, settings in _SETTINGS.items():
        path = private / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(settings))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    running = JupyterServer(folder, port, secrets.token_hex(16))
    options = {
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.port": str(port),
        "ServerApp.port_retries": "0",
        "ServerApp.root_dir": str(folder),
        "ServerApp.allow_root": "True",
        "ServerApp.open_browser": "False",
        "IdentityProvider.token": running.url("").partition("token=")[2],
        "KernelManager.shutdown_wait_time": "2",
    }
    if not collaboration:
        config = private / "config"
        (config / "labconfig").mkdir(parents=True)
        (config / "labconfig" / "page_config.json").write_text(json.dumps({"disabledExtensions": _COLLABORATION}))
        unwanted = {"ServerApp": {"jpserver_extensions": {"jupyter_server_ydoc": False}}}
        (config / "jupyter_server_config.json").write_text(json.dumps(unwanted))
    command = [sys.executable, "-m", "jupyterlab", *(f"--{name}={value}" for name, value in options.items())]
    with (private / "server.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=running.environment, stdout=log, stderr=log)
        try:
            wait_until(lambda: _answers(running, process), 60, "Jupyter Server answers")
            yield running
            running.stop_kernels()
        finally:
            process.terminate()
            process.wait(30)


def _answers(running: JupyterServer, process: subprocess.Popen[bytes]) -> bool:
    if process.poll() is not None:
        raise RuntimeError((running.private / "server.log").read_text())
    try:
        return bool(running.request("GET", "status"))
    except OSError:
        return False


class NotebookPage:
    """A notebook, open in a browser.

    Attributes
    ----------
    application
        A name in :data:`APPLICATIONS`.
    path
        The file on disk.
    """

    def __init__(self, page: Page, server: JupyterServer, application: str, name: str) -> None:
        self.page = page
        self.application = application
        self.path = server.folder / name
        self._server = server
        self._dialogs: list[str] = []
        page.expose_function("casaprovSawDialog", lambda text: self._dialogs.append(text))  # noqa: PLW0108 - it wants a function of Python
        page.on("dialog", self._dialog)
        page.add_init_script(_WATCH)

    def open(self) -> None:
        """Open it, or open it again as from a bookmark, and wait for its cells and its kernel."""
        self.show()
        self._wait_for_kernel()

    def show(self) -> None:
        """Open it, and wait for its cells; its kernel may still start."""
        address = APPLICATIONS[self.application].format(name=self.path.stem, path=self._api_path)
        self.page.goto(self._server.url(address))
        self.cells().first.wait_for(timeout=60_000)

    def wait_until_open(self) -> None:
        """Wait for its cells and its kernel."""
        self.cells().first.wait_for(timeout=60_000)
        self._wait_for_kernel()

    def kernel_state(self) -> str:
        """State of its kernel as the server has it; empty if there is no kernel."""
        return str(self._kernel().get("execution_state", ""))

    @property
    def _api_path(self) -> str:
        return self.path.relative_to(self._server.folder).as_posix()

    def _kernel(self) -> dict[str, Any]:
        sessions = self._server.request("GET", "sessions")
        return next((session["kernel"] for session in sessions if session["path"] == self._api_path), {})

    def _wait_for_kernel(self, timeout_s: float = 60) -> None:
        wait_until(lambda: self.kernel_state() == "idle", timeout_s, "the kernel is idle", self.page)

    def menu(self, menu: str, item: str) -> None:
        """Choose an item of a menu."""
        self.page.locator(".lm-MenuBar-itemLabel", has_text=re.compile(f"^{menu}$")).click()
        self.page.locator(".lm-Menu-itemLabel", has_text=re.compile(f"^{item}$")).click()

    def run_all(self) -> None:
        """Choose Run All Cells from the menu."""
        self.menu("Run", "Run All Cells")

    def wait_until_run(self, timeout_s: float = 120) -> None:
        """Wait until every code cell has its number."""
        prompts = self.page.locator(".jp-CodeCell .jp-InputPrompt")
        count = len([cell for cell in self.read()["cells"] if cell["cell_type"] == "code" and cell["source"]])

        def ran() -> bool:
            return sum(map(_numbered, prompts.all_inner_texts())) == count

        wait_until(ran, timeout_s, "all cells ran", self.page)

    def run(self, cell: int, timeout_s: float = 60) -> None:
        """Click into a cell, by its place from 0, press Shift-Enter, and wait until it has its number."""
        prompt = self.cells().nth(cell).locator(".jp-InputPrompt")
        # It may have the same number after a restart, and a shared document may show the old one again meanwhile.
        prompt.evaluate(_WATCH_PROMPT)
        self.cells().nth(cell).locator(".cm-content").click()
        self.page.keyboard.press("Shift+Enter")

        def ran() -> bool:
            return prompt.get_attribute("data-ran") == "yes" and _numbered(prompt.inner_text())

        wait_until(ran, timeout_s, "the cell ran", self.page)

    def restart_kernel(self) -> None:
        """Restart the kernel, as the menu does after its question."""
        self._server.request("POST", f"kernels/{self._kernel()['id']}/restart")
        self._wait_for_kernel()

    def save(self) -> dict[str, Any]:
        """Press Ctrl-S; return the notebook that is on disk then.

        JupyterLab saves, then makes a checkpoint, and does not listen to another Ctrl-S before it is made.
        jupyter-collaboration writes the file a while after that: it is waited for until it has the page's numbers.
        """
        self.cells().first.click()
        with self.page.expect_response(_makes_a_checkpoint, timeout=20_000):
            self.page.keyboard.press("Control+s")
        wait_until(self._is_as_shown, 60, "the file has the numbers of the cells", self.page)
        return self.read()

    def _is_as_shown(self) -> bool:
        """Return True if the cells in the file have the numbers that the page shows; those that run have none yet."""
        shown = self.page.locator(".jp-CodeCell .jp-InputPrompt").all_inner_texts()
        saved = [cell["execution_count"] for cell in self.read()["cells"] if cell["cell_type"] == "code"]
        return all(
            "*" in prompt or prompt.strip() == f"[{number or ' '}]:"
            for prompt, number in zip(shown, saved, strict=True)
        )

    def read(self) -> dict[str, Any]:
        """Return the JSON values of the file."""
        notebook: dict[str, Any] = json.loads(self.path.read_text(encoding="utf-8"))
        return notebook

    def rename(self, name: str) -> None:
        """Give it another name while it is open."""
        self.menu("File", "Rename(…| Notebook…)")
        field = self.page.locator(".jp-Dialog input")
        field.fill(name)
        self.page.keyboard.press("Enter")
        self.path = self.path.with_name(name)
        wait_until(self.path.is_file, 20, f"it is called {name}", self.page)
        self._wait_for_kernel()
        self._dialogs.clear()  # that one was asked for

    def cells(self) -> Locator:
        """All its cells."""
        return self.page.locator(".jp-Notebook .jp-Cell")

    def place(self, cell_id: str) -> int:
        """Place of the cell with this id, from 0."""
        return [cell["id"] for cell in self.read()["cells"]].index(cell_id)

    def write(self, cell: int, source: str) -> None:
        """Put another source into a cell."""
        self.cells().nth(cell).locator(".cm-content").click()
        self.page.keyboard.press("Control+a")
        self.page.keyboard.insert_text(source)

    def outputs(self, cell: int) -> Locator:
        """What is shown below a cell, by its place from 0."""
        return self.cells().nth(cell).locator(".jp-OutputArea-output")

    def screenshot(self, path: Path, *, of: Locator | None = None) -> Path:
        """Take a picture of the window, or of a part of it."""
        (of or self.page).screenshot(path=path)
        return path

    @property
    def dialogs(self) -> list[str]:
        """Text of every dialog that appeared since it was first opened."""
        return list(self._dialogs)

    def _dialog(self, dialog: Any) -> None:
        if dialog.type != "beforeunload":  # asked by the browser when an unsaved page is left
            self._dialogs.append(dialog.message)
        dialog.accept()


# Dialogs of Jupyter are elements of its page; one that comes and goes counts as well.
_WATCH = """
new MutationObserver(changes => {
  for (const change of changes)
    for (const node of change.addedNodes)
      if (node.classList && node.classList.contains("jp-Dialog")) window.casaprovSawDialog(node.innerText);
}).observe(document, {childList: true, subtree: true});
"""

# A cell that runs has a star until it has its number.
_WATCH_PROMPT = """element => {
  element.dataset.ran = "";
  new MutationObserver(() => { if (element.textContent.includes("*")) element.dataset.ran = "yes"; })
    .observe(element, {childList: true, characterData: true, subtree: true});
}"""


def _makes_a_checkpoint(response: Response) -> bool:
    return response.request.method == "POST" and response.url.split("?")[0].endswith("/checkpoints")


def _numbered(prompt: str) -> bool:
    return _DONE.fullmatch(prompt.strip()) is not None


def wait_until(holds: Callable[[], bool], timeout_s: float, what: str, page: Page | None = None) -> None:
    """Wait for something outside of the browser.

    Raises
    ------
    TimeoutError
        If it takes too long.
    """
    end = time.monotonic() + timeout_s
    while not holds():
        if time.monotonic() > end:
            raise TimeoutError(f"It did not happen in {timeout_s:g} s: {what}.")
        if page is None:
            time.sleep(0.1)
        else:
            page.wait_for_timeout(100)  # the browser's events go on
