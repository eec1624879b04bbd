"""URLs of a crate at an archive."""

from __future__ import annotations

from urllib.parse import quote

from casaprov.archive.deposits import Deposit, Kind
from casaprov.archive.settings import Settings

__all__ = ["clone_url", "crate_path", "crate_url", "file_url", "license_url", "page_url", "persistent_url"]

CRATE_TYPE = "application/zip"
NOTEBOOK_TYPE = "application/x-ipynb+json"


def crate_path(deposit: Deposit) -> str:
    """Return the path of the landing page of a version."""
    return f"/crates/{quote(deposit.name)}/v{deposit.version}"


def page_url(settings: Settings, deposit: Deposit) -> str:
    """Return the URL of the landing page of a version."""
    return settings.url + crate_path(deposit)


def persistent_url(settings: Settings, deposit: Deposit) -> str:
    """Return the URL that a version is cited by: its DOI, or its landing page."""
    return f"https://doi.org/{deposit.doi}" if deposit.doi else page_url(settings, deposit)


def file_url(settings: Settings, deposit: Deposit, name: str) -> str:
    """Return the URL of a file of a version, such as ``crate.zip`` or ``datacite.json``."""
    return f"{page_url(settings, deposit)}/{quote(name)}"


def crate_url(settings: Settings, deposit: Deposit) -> str:
    """Return the URL of the file that was deposited."""
    return file_url(settings, deposit, "crate.zip" if deposit.kind is Kind.CRATE else "notebook.ipynb")


def clone_url(settings: Settings, obs_id: str) -> str:
    """Return the URL that git clones the notebooks of an observation from."""
    return f"{settings.url}/git/{quote(obs_id)}.git"


def license_url(license_name: str) -> str:
    """Return the URL of a licence, which is an SPDX name or a URL already; empty if there is none."""
    if not license_name or license_name.startswith(("https://", "http://")):
        return license_name
    return f"https://spdx.org/licenses/{quote(license_name)}"
