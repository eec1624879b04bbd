"""Settings of an archive: ``archive.toml`` in its root folder.

Every setting has a default; an empty file, or none, is a working archive. ``docs/how-to/archive.md`` lists them.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_type_hints

from casaprov.config import size_of
from casaprov.errors import UsageError

__all__ = [
    "GiteaSettings",
    "IdentitySettings",
    "LimitSettings",
    "PolicySettings",
    "ReplaySettings",
    "S3Settings",
    "Settings",
    "VoSettings",
    "load_settings",
]

SETTINGS_FILE = "archive.toml"


@dataclass(frozen=True, kw_only=True)
class IdentitySettings:
    """``[identity]``: tokens.

    Attributes
    ----------
    issuer
        URL of the OpenID provider; everything else follows from its discovery. Without it, the archive accepts the one
        token that it wrote into ``local-token`` of its root folder.
    audience
        Name of this archive in tokens (``aud``, or ``azp`` of Keycloak).
    client_id, client_secret_file
        Credentials for the introspection of opaque tokens.
    curator_groups
        Members of these groups are curators.
    groups_claim
        Claim of a token that lists groups.
    """

    issuer: str = ""
    audience: str = "casaprov-archive"
    client_id: str = ""
    client_secret_file: str = ""
    curator_groups: tuple[str, ...] = ("curators",)
    groups_claim: str = "groups"


@dataclass(frozen=True, kw_only=True)
class LimitSettings:
    """``[limits]``: sizes in bytes; written as ``5 GB``."""

    max_upload: int = 20 * 10**9
    max_description: int = 20_000
    quota: int = 100 * 10**9
    keep_free: int = 10**9
    max_open: int = 100
    upload_days: int = 7


@dataclass(frozen=True, kw_only=True)
class PolicySettings:
    """``[policy]``: conditions of publication.

    Attributes
    ----------
    publish
        ``checked`` publishes with the verdict; ``verified`` holds deposits that differ or were not replayed.
    licenses
        SPDX names that are accepted; the first is the default of a deposit that names none.
    obs_ids
        File with the known observations, one per line; empty for any.
    obs_id_pattern
        Regular expression that every obs_id must match.
    need_author
        Whether a crate must name an author.
    proprietary_months, too_months
        Proprietary period after the end of an observation, and that of a target of opportunity.
    too_obs_ids
        File with the observations of targets of opportunity, one per line.
    """

    publish: str = "checked"
    licenses: tuple[str, ...] = ("CC-BY-4.0", "CC0-1.0", "BSD-3-Clause", "MIT", "GPL-3.0-or-later")
    obs_ids: str = ""
    obs_id_pattern: str = r"[A-Za-z0-9][A-Za-z0-9_+.]{0,63}"
    need_author: bool = False
    proprietary_months: int = 12
    too_months: int = 6
    too_obs_ids: str = ""


@dataclass(frozen=True, kw_only=True)
class ReplaySettings:
    """``[replay]``: replays and their limits.

    Attributes
    ----------
    enabled
        Whether crates are replayed at all.
    data
        Folders that are searched for inputs.
    python
        Python whose CASA replays; empty for the one that runs the archive.
    workers, check_workers
        Processes that replay, and that check.
    max_memory, max_disk
        Bytes that one replay may use; a crate may unpack to `max_disk`.
    max_seconds, max_processes
        Time that one replay may take, and processes that it may start.
    every_days
        Published crates are replayed again after so many days, and with each new CASA; 0 for never.
    lease_seconds
        Time after which the deposit of a worker that died is taken up by another.
    scheduler
        Address of a dask.distributed scheduler that replays are sent to; empty for this machine.
    """

    enabled: bool = True
    data: tuple[str, ...] = ()
    python: str = ""
    workers: int = 1
    check_workers: int = 1
    max_memory: int = 8 * 10**9
    max_disk: int = 50 * 10**9
    max_seconds: int = 4 * 3600
    max_processes: int = 256
    every_days: int = 90
    lease_seconds: int = 60
    scheduler: str = ""


@dataclass(frozen=True, kw_only=True)
class S3Settings:
    """``[s3]``: object store for the kept files, beside the OCFL folder; off without a bucket."""

    bucket: str = ""
    endpoint: str = ""
    prefix: str = ""
    region: str = ""


@dataclass(frozen=True, kw_only=True)
class GiteaSettings:
    """``[gitea]``: git server that notebooks are committed to as well; off without a URL."""

    url: str = ""
    owner: str = "EVN"
    token_file: str = ""


@dataclass(frozen=True, kw_only=True)
class VoSettings:
    """``[vo]``: Virtual Observatory.

    Attributes
    ----------
    backend
        ``none``: own DataLink and a CSV; ``dachs``: rows in the tables of DaCHS, in the publishing transaction.
    database
        SQLAlchemy URL of DaCHS's database; empty if the archive's own tables are there.
    schema
        Schema of the tables that ``deploy/dachs/q.rd`` makes.
    did_prefix
        Beginning of the identifiers of crates.
    """

    backend: str = "none"
    database: str = ""
    schema: str = "casaprov"
    did_prefix: str = "ivo://jive.eu/~?crate/"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings of an archive.

    Attributes
    ----------
    root
        Folder of the archive: database, spool, OCFL root, repositories, keys.
    url
        Address under which users reach the archive, without a final slash; by default this machine's.
    title, publisher
        Name of the archive on pages, and of the institution in citations.
    database
        SQLAlchemy URL; empty for SQLite in the root folder.
    """

    root: Path
    url: str = ""
    title: str = "Archive of CASA notebooks"
    publisher: str = "Joint Institute for VLBI ERIC"
    contact: str = ""
    database: str = ""
    listen: str = "127.0.0.1"
    port: int = 8765
    identity: IdentitySettings = field(default_factory=IdentitySettings)
    limits: LimitSettings = field(default_factory=LimitSettings)
    policy: PolicySettings = field(default_factory=PolicySettings)
    replay: ReplaySettings = field(default_factory=ReplaySettings)
    s3: S3Settings = field(default_factory=S3Settings)
    gitea: GiteaSettings = field(default_factory=GiteaSettings)
    vo: VoSettings = field(default_factory=VoSettings)

    @property
    def database_url(self) -> str:
        """SQLAlchemy URL of the database in use."""
        return self.database or f"sqlite:///{self.root / 'archive.sqlite'}"

    @property
    def spool(self) -> Path:
        """Folder of files that have arrived and are not kept yet."""
        return self.root / "spool"

    @property
    def ocfl(self) -> Path:
        """OCFL storage root."""
        return self.root / "ocfl"

    @property
    def git(self) -> Path:
        """Folder of the bare repositories."""
        return self.root / "git"

    @property
    def work(self) -> Path:
        """Folder of the scratch folders of workers."""
        return self.root / "work"

    @property
    def keys(self) -> Path:
        """Folder of the archive's own keys."""
        return self.root / "keys"


_SIZES = frozenset({"max_upload", "max_description", "quota", "keep_free", "max_memory", "max_disk"})
_CHOICES = {"publish": ("checked", "verified"), "backend": ("none", "dachs")}


def load_settings(root: Path, **given: Any) -> Settings:
    """Read the settings of the archive in a folder; `given` (from the command line) win where they are not None.

    Raises
    ------
    UsageError
        If the file cannot be read, or a setting is unknown or cannot have its value.
    """
    root = root.absolute()
    path = root / SETTINGS_FILE
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {error}.", hint="Correct it: it is a TOML file.") from error
    settings: Settings = _filled(Settings, table, str(path), {"root": root})
    chosen = {name: value for name, value in given.items() if value is not None}
    if issuer := chosen.pop("issuer", ""):
        chosen["identity"] = replace(settings.identity, issuer=issuer)
    if scheduler := chosen.pop("scheduler", ""):
        chosen["replay"] = replace(settings.replay, scheduler=scheduler)
    settings = replace(settings, **chosen)
    return replace(settings, url=settings.url.rstrip("/") or f"http://localhost:{settings.port}")


def _filled(cls: type[Any], table: Mapping[str, Any], where: str, known: Mapping[str, Any] | None = None) -> Any:
    """Make settings of a class from a table of the file."""
    hints = get_type_hints(cls)
    names = {item.name for item in fields(cls)} - set(known or {})
    values = dict(known or {})
    for name, value in table.items():
        if name not in names:
            raise UsageError(f"{where}: there is no setting {name!r}.", hint=f"There are {', '.join(sorted(names))}.")
        values[name] = _value(name, value, hints[name], where)
    return cls(**values)


def _value(name: str, value: Any, kind: Any, where: str) -> Any:
    """Check one value against the type of its setting."""
    if isinstance(kind, type) and kind.__name__.endswith("Settings"):
        if isinstance(value, Mapping):
            return _filled(kind, value, f"{where} [{name}]")
    elif kind is int and name in _SIZES:
        try:
            return size_of(value)
        except ValueError:
            raise UsageError(f"{where}: {name} cannot be {value!r}.", hint="It is a size such as 5 GB.") from None
    elif name in _CHOICES:
        if value in _CHOICES[name]:
            return value
        raise UsageError(f"{where}: {name} cannot be {value!r}.", hint=f"It is {' or '.join(_CHOICES[name])}.")
    elif get_args(kind):
        if isinstance(value, list) and all(isinstance(member, str) for member in value):
            return tuple(value)
    elif type(value) is kind or (value is None and kind is NoneType):
        return value
    raise UsageError(f"{where}: {name} cannot be {value!r}.", hint="See the settings in docs/how-to/archive.md.")
