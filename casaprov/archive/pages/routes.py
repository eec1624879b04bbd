"""Addresses of the pages."""

from __future__ import annotations

from typing import Any

from casaprov.archive.pages.downloads import Content, Description, Member, MemberMetadata, Report
from casaprov.archive.pages.index import Icon, StyleSheet
from casaprov.archive.pages.landing import Landing
from casaprov.archive.pages.published import NAME, VERSION
from casaprov.archive.web.archive import Archive

__all__ = ["routes"]


def routes(archive: Archive) -> list[tuple[str, type[Any], dict[str, Any]]]:
    """Return the routes as tornado takes them."""
    context: dict[str, Any] = {"archive": archive}
    return [
        (r"/archive\.css", StyleSheet, context),
        (r"/favicon\.ico", Icon, context),
        (NAME, Landing, context),
        (VERSION, Landing, context),
        (VERSION + r"/(crate\.zip|notebook\.ipynb)", Content, context),
        (VERSION + r"/ro-crate-metadata\.json", MemberMetadata, context),
        (VERSION + r"/report\.json", Report, context),
        (VERSION + r"/(datacite|linkset)\.json", Description, context),
        (VERSION + r"/files/(.+)", Member, context),
    ]
