"""The settings of a kernel: from files and variables, and chosen in the session."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from casaprov.config import Config, load_config
from casaprov.errors import UsageError

__all__ = ["Settings"]

_NOWHERE = Path("/")  # a folder without pyproject.toml


class Settings:
    """Settings in force; a choice takes effect at once.

    Parameters
    ----------
    folder
        Folder in which, and above which, ``pyproject.toml`` is looked for.
    on_change
        Called with the settings after each choice.

    Attributes
    ----------
    config
        The settings now; the defaults if a file or a variable cannot be understood.
    trouble
        The reason why a file or a variable cannot be understood; empty if there is none.
    """

    def __init__(self, folder: Path, on_change: Callable[[Config], None] = lambda _config: None) -> None:
        self._folder = folder
        self._on_change = on_change
        self._chosen: dict[str, str] = {}
        self.trouble = ""
        try:
            self.config = load_config(folder)
        except UsageError as error:
            self.trouble = str(error)
            self.config = load_config(_NOWHERE, {})

    def choose(self, name: str, value: str) -> Config:
        """Choose a setting for the rest of the session and return all of them.

        Raises
        ------
        UsageError
            If there is no such setting, or it cannot have this value; nothing changes then.
        """
        chosen = {**self._chosen, name: value}
        if self.trouble:
            self.config = load_config(_NOWHERE, {}, chosen.items())
        else:
            self.config = load_config(self._folder, chosen=chosen.items())
        self._chosen = chosen
        self._on_change(self.config)
        return self.config
