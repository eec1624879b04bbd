"""Foreign text on a terminal: it is shown and never obeyed.

Paths, parameters and error messages come from strangers' crates and file
names. A terminal takes commands from such text (escape sequences), reorders it
(directional marks) and hides it; rich takes markup and emoji codes from it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.markup import escape
from rich.segment import Segment

__all__ = ["PlainConsole", "plain", "visible"]

# Unicode categories: controls, invisible and directional marks, surrogates, line and paragraph separators.
_OBEYED = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def visible(text: object, *, keep: str = "") -> str:
    r"""Return a text in which characters that a terminal may obey or hide are escape sequences: ``\x1b``.

    Parameters
    ----------
    keep
        Characters to leave as they are: ``"\n\t"`` for a text of several lines.
    """
    shown = str(text)
    if shown.isascii() and shown.isprintable():
        return shown
    return "".join(
        character.encode("unicode_escape").decode()
        if character not in keep and unicodedata.category(character) in _OBEYED
        else character
        for character in shown
    )


_NO_TAG = re.compile(r"\\(?=\[(?![a-z#/@][^[]*?\]))")


def plain(text: object, *, keep: str = "") -> str:
    """Return foreign text (:func:`visible`) that rich prints literally."""
    shown = visible(text, keep=keep)
    bare = shown.rstrip("\\")
    # rich.markup.escape leaves a bracket that begins no tag, from which rich takes a backslash; and it mends only a single
    # backslash at the end: others would escape a tag that follows.
    return _NO_TAG.sub(r"\\\\", escape(bare)) + "\\" * 2 * (len(shown) - len(bare))


class PlainConsole(Console):
    """A console that sends no control characters to the terminal except its own."""

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, emoji=False, **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render as any console does, with a mark in place of each control character that :func:`plain` did not see."""
        for segment in super().render(renderable, options):
            if segment.control or (segment.text.isascii() and segment.text.isprintable()):
                yield segment
            else:
                yield Segment(_marked(segment.text), segment.style)


def _marked(text: str) -> str:
    # One character for one: the layout is already made.
    return re.sub(
        r"[^\n -~]",
        lambda found: "\ufffd" if unicodedata.category(found[0]) in _OBEYED else found[0],
        text,
    )
