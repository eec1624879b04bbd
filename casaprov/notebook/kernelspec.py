"""The kernelspec "CASA (casaprov)", with which Jupyter starts a kernel with CASA and recording.

It is ipykernel with one more extension (:mod:`casaprov.casa_kernel`), no kernel of its own. See
https://jupyter-client.readthedocs.io/en/stable/kernels.html
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from casaprov.doctor import Check, Finding
from casaprov.errors import UsageError

__all__ = ["CHECKS", "DISPLAY_NAME", "NAME", "InstalledKernel", "install", "installed", "records_itself", "remove"]

NAME = "casaprov"
"""Name of the kernelspec unless the user chooses another one."""

DISPLAY_NAME = "CASA (casaprov)"
"""Name of the kernel in launchers and menus."""

_EXTENSION = "casaprov.casa_kernel"
_LOGO = Path(__file__).with_name("logo")
_PROBE_TIMEOUT_S = 60


@dataclass(frozen=True, order=True)
class InstalledKernel:
    """A kernelspec of casaprov.

    Attributes
    ----------
    name
        Its name in ``metadata.kernelspec`` of a notebook.
    display_name
        Its name in launchers and menus.
    folder
        The folder with its ``kernel.json``.
    python
        The interpreter that it starts, which may be gone.
    """

    name: str
    display_name: str
    folder: Path
    python: str

    @property
    def startable(self) -> bool:
        """True if its interpreter is there."""
        return shutil.which(self.python) is not None


def install(name: str = NAME, display_name: str = DISPLAY_NAME, *, prefix: str | None = None) -> InstalledKernel:
    """Add the kernelspec for this Python; one of casaprov with the same name is replaced.

    Parameters
    ----------
    prefix
        Install below this folder, for instance ``sys.prefix``; by default for the user.

    Raises
    ------
    UsageError
        If that is no name for a kernel, or the kernel of that name is not casaprov's.
    ImportError
        If ipykernel or jupyter_client is not installed.
    """
    from ipykernel.kernelspec import get_kernel_dict
    from jupyter_client.kernelspec import KernelSpecManager

    manager = KernelSpecManager()
    target = manager.user_kernel_dir if prefix is None else str(Path(prefix, "share", "jupyter", "kernels").absolute())
    for parent in (target, *manager.kernel_dirs):
        # A kernel of this name elsewhere would be hidden, or would hide the new one.
        there = Path(parent, name.lower())
        if (there / "kernel.json").exists() and _ours(there) is None:
            message = f"There is a kernel {name!r} in {there} that is not casaprov's."
            raise UsageError(message, hint="Choose another --name.")
    spec = get_kernel_dict(extra_arguments=["--ext", _EXTENSION]) | {"display_name": display_name}
    with tempfile.TemporaryDirectory(prefix="casaprov-") as made:
        source = Path(made, "kernel")
        shutil.copytree(_LOGO, source)
        (source / "kernel.json").write_text(json.dumps(spec, indent=1) + "\n", encoding="utf-8")
        try:  # jupyter_client would replace an empty name by a default
            placed = manager.install_kernel_spec(str(source), name or " ", user=prefix is None, prefix=prefix)
        except ValueError as error:
            message = f"A kernel cannot be named {name!r}."
            raise UsageError(message, hint="Use letters, digits, '-', '_' and '.'.") from error
    return InstalledKernel(name.lower(), display_name, Path(placed), sys.executable)


def installed() -> tuple[InstalledKernel, ...]:
    """Return all kernelspecs of casaprov that Jupyter finds from this Python."""
    return tuple(sorted(_everywhere()))


def remove(name: str = NAME) -> tuple[InstalledKernel, ...]:
    """Remove the kernelspecs of casaprov with this name, and return them.

    Raises
    ------
    UsageError
        If there is none.
    """
    found = tuple(kernel for kernel in installed() if kernel.name == name.lower())
    if not found:
        there = ", ".join(sorted({kernel.name for kernel in installed()})) or "none"
        raise UsageError(f"casaprov has no kernel {name!r}.", hint=f"Its kernels here are: {there}.")
    for kernel in found:
        shutil.rmtree(kernel.folder)
    return found


def records_itself(argv: Sequence[str]) -> bool:
    """Return True if the command of a kernelspec starts a kernel of casaprov, which records from its first cell on."""
    return _EXTENSION in argv


def casa_kernel() -> Finding:
    """Check the kernelspec, and the Python that it starts."""
    kernels = installed()
    for kernel in kernels:
        message = f"The kernel {kernel.name!r} in {kernel.folder} names the Python {kernel.python}"
        again, away = (f"'casaprov kernel {command} --name {kernel.name}'" for command in ("install", "remove"))
        remedy = f"Run {again} to make it anew, or {away}."
        if not kernel.startable:
            return Finding("CASA kernel", "warning", f"{message}, which does not exist.", remedy)
        if not _has_casaprov(kernel.python):
            return Finding("CASA kernel", "warning", f"{message}, in which casaprov is not installed.", remedy)
    if kernels:
        names = ", ".join(f"{kernel.display_name!r} ({kernel.name}) starts {kernel.python}" for kernel in kernels)
        return Finding("CASA kernel", "ok", f"{names}.")
    message = f"The kernel {DISPLAY_NAME!r} is not installed: a notebook has to import CASA and load casaprov itself."
    return Finding("CASA kernel", "warning", message, "Run 'casaprov kernel install'.")


CHECKS: tuple[Check, ...] = (casa_kernel,)


def _everywhere() -> Iterator[InstalledKernel]:
    from jupyter_client.kernelspec import KernelSpecManager

    for folder in dict.fromkeys(KernelSpecManager().kernel_dirs):
        for file in Path(folder).glob("*/kernel.json"):
            spec = _ours(file.parent)
            if spec is not None:
                yield InstalledKernel(file.parent.name, str(spec.get("display_name", "")), file.parent, spec["argv"][0])


def _ours(folder: Path) -> dict[str, Any] | None:
    """Return the kernelspec in a folder if it is casaprov's, else None."""
    try:
        spec = json.loads((folder / "kernel.json").read_text(encoding="utf-8"))
        return spec if records_itself(spec["argv"]) else None
    except (OSError, ValueError, KeyError, TypeError):  # damaged, and so not known as casaprov's
        return None


def _has_casaprov(python: str) -> bool:
    if python == sys.executable:
        return True
    code = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({_EXTENSION!r}) is None)"
    try:
        done = subprocess.run(
            [python, "-c", code], stdin=subprocess.DEVNULL, capture_output=True, timeout=_PROBE_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
