""".ipynb files: read with checks, written in one piece, never lost."""

from __future__ import annotations

import tempfile
import warnings
import zipfile
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode, reader

from casaprov.errors import RecordError, UsageError
from casaprov.scripts.cells import as_notebook, decoded, is_script

__all__ = ["check_target", "read_notebook", "save_notebook", "write_notebook"]

_PROBE = b"\0" * 65536


def read_notebook(path: Path) -> NotebookNode:
    """Read and check a notebook; a script is returned as a notebook with its cells.

    Raises
    ------
    UsageError
        If the file is missing or no notebook.
    """
    if is_script(path.name):
        script: NotebookNode = nbformat.from_dict(as_notebook(decoded(_script_bytes(path))))
        return script
    try:
        # nbformat.read does the same, but logs an error before it raises it.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # cells of older notebooks have no ids
            notebook: NotebookNode = nbformat.convert(reader.reads(path.read_text(encoding="utf-8")), 4)
            nbformat.validate(notebook)
    except FileNotFoundError:
        raise UsageError(f"There is no notebook {path}.", hint="Check the path.") from None
    except OSError as error:
        raise UsageError(
            f"The notebook {path} cannot be read: {error.strerror or error}.", hint="Check the path."
        ) from error
    except Exception as error:  # nbformat trips over odd files in many ways
        if zipfile.is_zipfile(path):
            hint = f"'casaprov replay {path}' runs a crate again, 'casaprov inspect {path}' shows it."
            raise UsageError(f"{path} is no notebook, but a zip file.", hint=hint) from error
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise UsageError(
            f"{path} is no notebook that can be read: {reason}.", hint="Open it in Jupyter and save it again."
        ) from error
    return notebook


def _script_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise UsageError(f"There is no script {path}.", hint="Check the path.") from None
    except OSError as error:
        raise UsageError(
            f"The script {path} cannot be read: {error.strerror or error}.", hint="Check the path."
        ) from error


def write_notebook(notebook: NotebookNode | dict[str, Any], path: Path) -> None:
    """Write a notebook, which may be given as JSON values; the old file stays until the new one is complete.

    Raises
    ------
    RecordError
        If it cannot be written.
    """
    # A lone surrogate, which UTF-8 cannot hold, becomes the JSON escape that it was read from.
    node = notebook if isinstance(notebook, NotebookNode) else nbformat.from_dict(notebook)
    data = (nbformat.writes(node) + "\n").encode("utf-8", "backslashreplace")
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(data)
        part.replace(path)
    except OSError as error:
        _discard(part)
        raise RecordError(f"The notebook {path} cannot be written: {error.strerror or error}.") from error


def save_notebook(notebook: NotebookNode, path: Path) -> tuple[Path, RecordError | None]:
    """Write a notebook that took long to make to `path`, or else to a new folder elsewhere.

    Returns
    -------
    tuple
        Its path, and the error if that is not `path`.

    Raises
    ------
    RecordError
        If it cannot be written anywhere.
    """
    try:
        write_notebook(notebook, path)
    except RecordError as error:
        for refuge in (None, Path.home(), Path.cwd()):
            try:
                elsewhere = Path(tempfile.mkdtemp(prefix="casaprov-", dir=refuge)) / path.name
                write_notebook(notebook, elsewhere)
            except (RecordError, OSError):
                continue
            hint = f"It is in {elsewhere} instead: copy it from there when there is space and permission."
            return elsewhere, RecordError(error.message, hint=hint)
        raise
    return path, None


def check_target(path: Path) -> None:
    """Try to write to the folder of `path`, before the time for a run is spent.

    Raises
    ------
    UsageError
        If `path` is no name of a notebook.
    RecordError
        If it cannot be written there.
    """
    if path.suffix != ".ipynb":
        raise UsageError(f"The executed notebook cannot be written to {path}.", hint="Its name has to end in .ipynb.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent, buffering=0) as file:
            if file.write(_PROBE) != len(_PROBE):
                raise RecordError(f"There is no space left for the executed notebook in {path.parent}.", hint=_NOT_RUN)
    except OSError as error:
        message = f"The executed notebook cannot be written to {path.parent}: {error.strerror or error}."
        raise RecordError(message, hint=_NOT_RUN) from error


_NOT_RUN = "Nothing was run. Name another folder with --output."


def _discard(part: Path) -> None:
    try:
        part.unlink(missing_ok=True)
    except OSError:
        return
