"""What reaches a terminal: foreign text is shown, never obeyed.

Paths, parameters and error messages come from crates that strangers made and
from file names that they chose. A terminal takes commands from such text
(escape sequences), reorders it (directional marks) and hides it; rich takes
markup and emoji codes from it.
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

# Controls, what is invisible or changes the direction of text, halves of characters, and line separators.
_OBEYED = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def visible(text: object, *, keep: str = "") -> str:
    r"""Write every character that a terminal may obey or hide as an escape sequence: ``\x1b``.

    Parameters
    ----------
    keep
        Characters to leave as they are: ``"\n\t"`` for a text of several lines.
    """
    told = str(text)
    if told.isascii() and told.isprintable():
        return told
    return "".join(
        character.encode("unicode_escape").decode()
        if character not in keep and unicodedata.category(character) in _OBEYED
        else character
        for character in told
    )


def plain(text: object, *, keep: str = "") -> str:
    """Return foreign text that is printed as it stands within rich's markup; see :func:`visible`."""
    told = visible(text, keep=keep)
    bare = told.rstrip("\\")
    # rich.markup.escape leaves all but a single backslash at the end to be taken for that of a tag behind it.
    return escape(bare) + "\\" * 2 * (len(told) - len(bare))


class PlainConsole(Console):
    """A console that sends no control character to the terminal but its own, whatever it is given to print."""

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, emoji=False, **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render as any console does, with a mark in the place of what :func:`plain` did not see."""
        for segment in super().render(renderable, options):
            if segment.control or (segment.text.isascii() and segment.text.isprintable()):
                yield segment
            else:
                yield Segment(_marked(segment.text), segment.style)


def _marked(text: str) -> str:
    # One for one: the layout is made already.
    return re.sub(
        r"[^\n -~]",
        lambda found: "\ufffd" if unicodedata.category(found[0]) in _OBEYED else found[0],
        text,
    )
