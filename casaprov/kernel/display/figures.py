"""Pictures in a notebook: figures of tasks, each shown once, and pictures from files.

Tasks draw with pyplot, save to a file or not, close their figure or leave it open for the next call to draw over. The
inline backend shows the figures that are open at the end of a cell: of two plots in a cell only the second, of a plot
that was saved and closed nothing. Here the pictures that a call wrote are shown from their files, and open figures
before another call draws over them. The tasks with a window, plotms and imview, have no figures: their pages are files.
"""

from __future__ import annotations

import base64
import io
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["PICTURES", "Figures", "picture_data", "show_pictures"]

PICTURES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg"}
"""Media types, by suffix, of the files that are shown if a task of casatasks wrote them."""

_SHOWABLE = {**PICTURES, ".gif": "image/gif"}  # plotms and imview may be asked for a GIF

_MAX_BYTES = 4_000_000
_MAX_PICTURES = 12
_INLINE = ("inline", "module://matplotlib_inline.backend_inline")
_WITHOUT_SCREEN = ("agg", "pdf", "ps", "svg", "cairo", "template")


class Figures:
    """Figures that the tasks of a cell leave open, for one cell after the other."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._left: list[Any] = []  # by tasks of this cell, open and not shown yet

    def begin_call(self) -> dict[int, Any]:
        """Show the figures that earlier calls of the cell left open; return the state of all open figures.

        The call that begins may draw over them.
        """
        left, self._left = self._left, []
        opened = _opened()
        for figure in left:
            if any(figure is known for known in opened.values()):
                self._show(figure)
                _close(figure)
        return {number: _state(figure) for number, figure in _opened().items()}

    def drawn(self, before: dict[int, Any]) -> list[dict[str, str]]:
        """Return the figures that a call drew and left open, as pictures.

        Parameters
        ----------
        before
            The state that :meth:`begin_call` returned.
        """
        figures = [figure for number, figure in _opened().items() if before.get(number) != _state(figure)]
        return [{"image/png": base64.b64encode(_png(figure)).decode(), "text/plain": "<Figure>"} for figure in figures]

    def end_call(self, before: dict[int, Any], pictures: Sequence[Path]) -> None:
        """Show the figures that a call drew.

        Parameters
        ----------
        before
            The state that :meth:`begin_call` returned.
        pictures
            Files with pictures that the call wrote.
        """
        drawn = [figure for number, figure in _opened().items() if before.get(number) != _state(figure)]
        backend = _backend()
        if drawn and backend not in _INLINE and backend not in _WITHOUT_SCREEN:
            return  # an interactive backend has shown it
        for path in pictures[:_MAX_PICTURES]:
            self._show_file(path)
        if len(pictures) > _MAX_PICTURES:
            text = f"{len(pictures) - _MAX_PICTURES} more pictures are in files, up to {pictures[-1].name}."
            self._shell.display_pub.publish({"text/plain": text})
        for figure in drawn:
            if pictures:  # the call saved its figures, and the files are shown
                if backend in _INLINE:
                    _close(figure)
            elif backend in _INLINE:
                self._left.append(figure)
            else:
                self._show(figure)

    def end_cell(self) -> None:
        """Leave open figures to the inline backend, which shows them now."""
        self._left.clear()

    def _show(self, figure: Any) -> None:
        if figure.axes:
            self._shell.display_pub.publish({"image/png": _png(figure), "text/plain": "<Figure>"})

    def _show_file(self, path: Path) -> None:
        size = path.stat().st_size
        if size > _MAX_BYTES:
            self._shell.display_pub.publish({"text/plain": f"{path.name}: {size / 1e6:.1f} MB, too large to be shown."})
        elif size:
            kind = PICTURES[path.suffix.lower()]
            self._shell.display_pub.publish({kind: path.read_bytes(), "text/plain": f"<{path.name}>"})


def _png(figure: Any) -> bytes:
    target = io.BytesIO()
    figure.savefig(target, format="png", bbox_inches="tight")
    return target.getvalue()


def _pyplot() -> Any:
    return sys.modules.get("matplotlib.pyplot")  # without the import there are no figures


def _opened() -> dict[int, Any]:
    """Return the figures that pyplot knows, by number."""
    pyplot = _pyplot()
    if pyplot is None:
        return {}
    helpers = sys.modules["matplotlib._pylab_helpers"]
    return {manager.num: manager.canvas.figure for manager in helpers.Gcf.get_all_fig_managers()}


def _state(figure: Any) -> tuple[Any, ...]:
    """Return a value that drawing changes: the figure, its axes, and the number of things in each."""
    return (id(figure), *((id(axes), len(axes.get_children())) for axes in figure.axes))


def _backend() -> str:
    return str(sys.modules["matplotlib"].get_backend()).lower() if _pyplot() is not None else ""


def _close(figure: Any) -> None:
    _pyplot().close(figure)


def picture_data(path: Path) -> dict[str, Any]:
    """Return a file by media type: the picture, or its name if front ends cannot show it."""
    mime = _SHOWABLE.get(path.suffix.lower())
    if mime is None:
        return {"text/plain": f"{path.name} was written; a notebook cannot show it."}
    return {mime: path.read_bytes(), "text/plain": f"<picture {path.name}>"}


def show_pictures(paths: Iterable[Path]) -> None:
    """Show files below the cell that runs, one after the other."""
    from IPython.display import display

    for path in paths:
        display(picture_data(path), raw=True)
