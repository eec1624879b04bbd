"""Virtual environments for the tools that casaprov is compared with, made once from PyPI."""

from __future__ import annotations

import subprocess
import sysconfig
import venv
from pathlib import Path

__all__ = ["program", "version_of"]


def program(cache: Path, distribution: str, name: str, *, with_casa: bool = False) -> Path:
    """Return a program of a distribution that is installed in an environment of its own.

    Parameters
    ----------
    with_casa
        Whether scripts that the program runs find what is installed here.

    Raises
    ------
    RuntimeError
        If it cannot be installed; with the last line that pip says.
    """
    folder = cache / "venvs" / distribution
    found = folder / "bin" / name
    if not (found.is_file() and (folder / "complete").exists()):
        venv.create(folder, clear=True, with_pip=True)
        python = folder / "bin" / "python"
        command = [str(python), "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "-q", distribution]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode or not found.is_file():
            said = (done.stderr.strip() or f"it brings no program {name}").splitlines()[-1]
            raise RuntimeError(f"{distribution} cannot be installed: {said}")
        (folder / "complete").touch()
    if with_casa:
        # Appended to its search path: its own packages come first.
        paths = sysconfig.get_paths(vars={"base": str(folder), "platbase": str(folder)})
        ours = sysconfig.get_paths()
        (Path(paths["purelib"]) / "casa.pth").write_text(f"{ours['purelib']}\n{ours['platlib']}\n")
    return found


def version_of(cache: Path, distribution: str) -> str:
    """Name and version of a distribution in its environment."""
    python = cache / "venvs" / distribution / "bin" / "python"
    code = f"from importlib.metadata import version; print(version({distribution!r}))"
    done = subprocess.run([str(python), "-c", code], check=False, capture_output=True, text=True)
    return f"{distribution} {done.stdout.strip()}" if done.returncode == 0 else distribution
