"""``inp tclean`` for ``inp(tclean)``: words of CASA's shell that stand alone in a cell need no parentheses there.

CASA's shell asks IPython to call whatever can be called (``autocall=2``). In a
notebook that would also call an object that is only looked at, such as a model
of astropy; so it is done for these words and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["WORDS", "without_parentheses"]

WORDS = ("inp", "go", "default", "tget", "tput", "saveinputs")

_LINE = re.compile(rf"({'|'.join(WORDS)})(?:[ \t]+([A-Za-z_]\w*))?[ \t]*(;?)")


def without_parentheses(namespace: Mapping[str, Any]) -> Callable[[list[str]], list[str]]:
    """Return an input transformer of IPython that calls a word which is all that a cell says.

    Parameters
    ----------
    namespace
        The user's, in which the words now mean what CASA's shell means by them.
    """
    meant = {word: namespace[word] for word in WORDS if word in namespace}

    def transform(lines: list[str]) -> list[str]:
        said = _LINE.fullmatch("".join(lines).strip())
        if said is None or namespace.get(said[1]) is not meant.get(said[1], transform):
            return lines
        return [f"{said[1]}({said[2] or ''}){said[3]}\n"]

    return transform
