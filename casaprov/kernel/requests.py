"""The request of a front end that a kernel works on: the cell that runs, its id and its tags.

See "Execute" in https://jupyter-client.readthedocs.io/en/stable/messaging.html.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["CellRequest", "request_of"]


@dataclass(frozen=True)
class CellRequest:
    """A request to run a cell.

    Attributes
    ----------
    cell_id
        Id of the cell; None where the front end sends none.
    tags
        Tags of the cell as they were sent; None where the front end sends none.
    counted
        True if the cell gets a number.
    """

    source: str
    cell_id: str | None
    tags: Any
    counted: bool


def request_of(shell: InteractiveShell) -> CellRequest | None:
    """Return the request that runs; None at the start of a kernel, and in a terminal, which has no requests."""
    kernel = getattr(shell, "kernel", None)
    try:
        message: Mapping[str, Any] = kernel.get_parent()  # type: ignore[union-attr]
        content = message["content"]
        if message["header"]["msg_type"] != "execute_request":
            return None
        metadata = message.get("metadata") or {}
        counted = content.get("store_history", True) and not content.get("silent", False)
        return CellRequest(content["code"], metadata.get("cellId"), metadata.get("tags"), counted)
    except (AttributeError, KeyError, TypeError):
        return None
