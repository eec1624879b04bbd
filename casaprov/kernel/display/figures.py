"""Figures of tasks in a notebook: each once, whatever the task does with matplotlib.

Tasks draw with pyplot, save to a file or not, close their figure or leave it
open for the next call to draw over. The inline backend shows what is open at
the end of a cell: of two plots in a cell only the second, of a plot that was
saved and closed nothing. Here pictures that a call wrote are shown from their
files, and open figures before another call takes them.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["PICTURES", "Figures", "picture_data", "show_pictures"]

PICTURES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg"}
"""Media type of the pictures that are shown, by suffix."""

_MAX_BYTES = 4_000_000
_MAX_PICTURES = 12
_INLINE = ("inline", "module://matplotlib_inline.backend_inline")
_NOBODY_SHOWS = ("agg", "pdf", "ps", "svg", "cairo", "template")


class Figures:
    """The figures of the tasks of one cell after the other."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._left: list[Any] = []  # by tasks of this cell, open and not shown yet

    def begin_call(self) -> dict[int, Any]:
        """Show what an earlier call of the cell left open, which this one may draw over; return what is open now."""
        left, self._left = self._left, []
        opened = _opened()
        for figure in left:
            if any(figure is known for known in opened.values()):
                self._show(figure)
                _close(figure)
        return {number: _looks(figure) for number, figure in _opened().items()}

    def end_call(self, before: dict[int, Any], pictures: Sequence[Path]) -> None:
        """Show what a call drew.

        Parameters
        ----------
        before
            What :meth:`begin_call` returned.
        pictures
            Files with pictures that the call wrote.
        """
        drawn = [figure for number, figure in _opened().items() if before.get(number) != _looks(figure)]
        backend = _backend()
        if drawn and backend not in _INLINE and backend not in _NOBODY_SHOWS:
            return  # an interactive backend has shown it
        for path in pictures[:_MAX_PICTURES]:
            self._show_file(path)
        if len(pictures) > _MAX_PICTURES:
            told = f"{len(pictures) - _MAX_PICTURES} more pictures are in files, up to {pictures[-1].name}."
            self._shell.display_pub.publish({"text/plain": told})
        for figure in drawn:
            if pictures:  # what it saved is what it drew
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
        target = io.BytesIO()
        figure.savefig(target, format="png", bbox_inches="tight")
        if figure.axes:
            self._shell.display_pub.publish({"image/png": target.getvalue(), "text/plain": "<Figure>"})

    def _show_file(self, path: Path) -> None:
        size = path.stat().st_size
        if size > _MAX_BYTES:
            self._shell.display_pub.publish(
                {"text/plain": f"{path.name}: {size / 1e6:.1f} MB, not shown for its size."}
            )
        elif size:
            kind = PICTURES[path.suffix.lower()]
            self._shell.display_pub.publish({kind: path.read_bytes(), "text/plain": f"<{path.name}>"})


def _pyplot() -> Any:
    return sys.modules.get("matplotlib.pyplot")  # who has not imported it has no figures


def _opened() -> dict[int, Any]:
    """Figures that pyplot knows, by number."""
    pyplot = _pyplot()
    if pyplot is None:
        return {}
    helpers = sys.modules["matplotlib._pylab_helpers"]
    return {manager.num: manager.canvas.figure for manager in helpers.Gcf.get_all_fig_managers()}


def _looks(figure: Any) -> tuple[Any, ...]:
    """What is different after somebody drew: the figure, its axes, and what is in them."""
    return (id(figure), *((id(axes), len(axes.get_children())) for axes in figure.axes))


def _backend() -> str:
    return str(sys.modules["matplotlib"].get_backend()).lower() if _pyplot() is not None else ""


def _close(figure: Any) -> None:
    _pyplot().close(figure)


_SHOWN = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".gif": "image/gif"}


def picture_data(path: Path) -> dict[str, Any]:
    """Return what a front end shows of a file: the picture, or the name of one that it cannot show."""
    mime = _SHOWN.get(path.suffix.lower())
    if mime is None:
        return {"text/plain": f"{path.name} was written; a notebook cannot show it."}
    return {mime: path.read_bytes(), "text/plain": f"<picture {path.name}>"}


def show_pictures(paths: Iterable[Path]) -> None:
    """Show files below the cell that runs, one after the other."""
    from IPython.display import display

    for path in paths:
        display(picture_data(path), raw=True)
