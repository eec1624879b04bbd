"""The data that CASA needs at run time: where they lie, and how CASA finds them.

casatools does not import without IERS tables. casaconfig names their folder: first a site configuration
(``CASASITECONFIG``, else ``/opt/casa/casasiteconfig.py``, ``/home/casa/casasiteconfig.py``, else a module
``casasiteconfig``), then the user's ``~/.casa/config.py``, which wins. Where there is no site configuration and the
PyPI package ``casadata`` is installed, :func:`prepare` supplies one that points to it. No user's file is written.

See https://casadocs.readthedocs.io/en/stable/notebooks/external-data.html
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import platformdirs

from casaprov.errors import CasaDataMissing, CasaMissing
from casaprov.version import install_command

__all__ = ["DataSource", "casadata_path", "data_folders", "forbid_updates", "import_casatasks", "prepare"]

_SITE_VARIABLE = "CASASITECONFIG"
_SITE_FILES = (Path("/opt/casa/casasiteconfig.py"), Path("/home/casa/casasiteconfig.py"))
_SITE_MODULE = "casasiteconfig"

# Only measurespath is set: casaconfig then uses it for datapath as well, unless the user's own configuration names
# another one. Updates are off: casaconfig would fetch newer tables into the installed package, and the tables that a
# session's record names at its begin must be there until its end.
_SITE_TEMPLATE = """\
# Written by casaprov: CASA reads its run-time data from the installed package casadata.
# Settings in ~/.casa/config.py take precedence over these.
measurespath = {path!r}
measures_auto_update = False
data_auto_update = False
"""

_HINT = (
    "Install CASA's data with 'pip install casadata' (350 MB), or fetch them with "
    "'mkdir -p ~/.casa/data' and 'python -m casaconfig --update-all'."
)


def _casa_hint() -> str:
    return f"Install CASA with '{install_command('casa')}'; 'casaprov doctor' names the releases that work here."


@dataclass(frozen=True)
class DataSource:
    """The configuration that decides where CASA looks for its data.

    Attributes
    ----------
    origin
        ``casadata``: the installed package, through a site configuration that casaprov writes.
        ``site``: a site configuration that was there before.
        ``user``: neither; only ``~/.casa/config.py`` and CASA's defaults.
    site_config
        The site configuration file or the module's file, if any.
    """

    origin: Literal["casadata", "site", "user"]
    site_config: Path | None = None


def casadata_path() -> Path | None:
    """Return the data folder of the installed package ``casadata``, without importing it or CASA."""
    spec = importlib.util.find_spec("casadata")
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / "__data__"
    return path if path.is_dir() else None


def prepare() -> DataSource:
    """Make CASA find its data; to be called before casatools is first imported.

    Nothing changes where a site configuration is in force. Else, if casadata is installed, ``CASASITECONFIG`` is set
    for this process and its children.
    """
    ours = Path(platformdirs.user_cache_dir("casaprov")) / "casa"
    data = casadata_path()
    named = os.environ.get(_SITE_VARIABLE)
    # A file in our folder was named by a parent process, whose interpreter may have another casadata: it is replaced.
    if named is not None and (data is None or Path(named).parent != ours):
        return DataSource("site", Path(named))
    if named is None and (found := _site_config()) is not None:
        return DataSource("site", found)
    # casaconfig reads its configuration once: if it has, a site configuration comes too late.
    if data is None or (named is None and "casaconfig.config" in sys.modules):
        return DataSource("user")
    config = _write_site_config(ours, data)
    os.environ[_SITE_VARIABLE] = str(config)
    return DataSource("casadata", config)


def data_folders() -> tuple[Path, ...]:
    """Return the folders in which CASA looks for its data, the folder of the measures first.

    Raises
    ------
    CasaMissing
        If casaconfig, which comes with casatools, is not installed.
    """
    prepare()
    try:
        config = importlib.import_module("casaconfig.config")
    except ImportError as error:
        raise CasaMissing(f"CASA's configuration cannot be read: {error}.", hint=_casa_hint()) from error
    folders = [config.measurespath, *config.datapath]
    return tuple(dict.fromkeys(Path(folder) for folder in folders if folder))


def forbid_updates() -> None:
    """Keep CASA from fetching newer data in this process; to be called before it is imported."""
    config: Any = importlib.import_module("casaconfig.config")
    config.measures_auto_update = config.data_auto_update = False


def import_casatasks() -> ModuleType:
    """Import casatasks with its data in place.

    Raises
    ------
    CasaMissing
        If casatasks is not installed or cannot be loaded.
    CasaDataMissing
        If no data are found. It is raised before casatools is imported, which would try to reach the network.
    """
    source = prepare()
    if importlib.util.find_spec("casatasks") is None:
        raise CasaMissing("casatasks is not installed in this Python.", hint=_casa_hint())
    folders = data_folders()
    if not any((folder / "geodetic" / "IERSeop2000").is_dir() for folder in folders):
        raise CasaDataMissing(f"CASA finds no data to run with: {_looked_in(source, folders)}.", hint=_HINT)
    try:
        return importlib.import_module("casatasks")
    except ImportError as error:
        raise CasaMissing(f"CASA is installed but does not load: {error}.", hint=_casa_hint()) from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] == "casaconfig":
            message = f"CASA cannot use its data: {error} ({_looked_in(source, folders)})."
            raise CasaDataMissing(message, hint=_HINT) from error
        raise CasaMissing(f"CASA is installed but does not start: {error!r}.", hint=_casa_hint()) from error


def _looked_in(source: DataSource, folders: tuple[Path, ...]) -> str:
    places = ", ".join(str(folder) for folder in folders) or "no folder at all"
    text = f"no geodetic/IERSeop2000 in {places}"
    if source.site_config is not None:
        missing = "" if source.site_config.is_file() else ", which does not exist"
        text += f"; the site configuration is {source.site_config}{missing}"
    return text


def _site_config() -> Path | None:
    for path in _SITE_FILES:
        if path.is_file():
            return path
    spec = importlib.util.find_spec(_SITE_MODULE)
    return Path(spec.origin) if spec is not None and spec.origin is not None else None


def _write_site_config(folder: Path, data: Path) -> Path:
    text = _SITE_TEMPLATE.format(path=str(data)).encode()
    path = folder / f"site-{hashlib.sha256(text).hexdigest()[:16]}.py"
    if path.is_file() and path.read_bytes() == text:
        return path
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return _write_whole(path, text)
    except OSError:  # no writable home, as in many containers
        return _write_whole(Path(tempfile.mkdtemp(prefix="casaprov-")) / path.name, text)


def _write_whole(path: Path, text: bytes) -> Path:
    # Written beside and renamed: a kernel that starts at the same moment never reads half a file.
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".site-")
    with os.fdopen(handle, "wb") as file:
        file.write(text)
    Path(temporary).replace(path)
    return path
