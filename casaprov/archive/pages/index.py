"""The list of published crates, and what all pages need: their style sheet, and an answer to browsers that want an icon."""

from __future__ import annotations

from casaprov.archive.pages.rendering import PAGE_POLICY, render, style_sheet
from casaprov.archive.publication.metadata.addresses import crate_path
from casaprov.archive.web.handler import ArchiveHandler

__all__ = ["Icon", "Index", "StyleSheet"]

_PER_PAGE = 50
_LAST_PAGE = 100_000


class Index(ArchiveHandler):
    """``/``: published crates, the newest first."""

    async def get(self) -> None:
        """Answer with one page of the list; ``?page=2`` is the next."""
        asked = self.get_query_argument("page", "1")
        number = int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 7 else 1
        number = min(max(number, 1), _LAST_PAGE)
        repository = self.archive.repository
        found = await self.in_thread(lambda: repository.published(limit=_PER_PAGE + 1, offset=(number - 1) * _PER_PAGE))
        page = render(
            "index",
            archive=self.archive.settings,
            crates=[(deposit, crate_path(deposit)) for deposit in found[:_PER_PAGE]],
            before=number - 1,
            after=number + 1 if len(found) > _PER_PAGE else 0,
        )
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.set_header("Content-Security-Policy", PAGE_POLICY)
        _ = self.finish(page)

    head = get


class StyleSheet(ArchiveHandler):
    """``/archive.css``."""

    def get(self) -> None:
        """Answer with the style sheet."""
        self.set_header("Content-Type", "text/css; charset=utf-8")
        self.set_header("Cache-Control", "public, max-age=3600")
        _ = self.finish(style_sheet())

    head = get


class Icon(ArchiveHandler):
    """``/favicon.ico``, which browsers ask for; there is none."""

    def get(self) -> None:
        """Answer with nothing."""
        self.set_header("Cache-Control", "public, max-age=86400")
        self.set_status(204)

    head = get
