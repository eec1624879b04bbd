"""Signatures of a crate, by SSH keys: of a list of its payload, not of the description that archives change.

The list has one line for each file of the records, parameters, logs, products and inputs, and for the notebook, as
``sha256sum`` writes it: ``sha256sum -c casaprov-signatures/payload.sha256`` checks it without casaprov.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from casaprov.crates.layout import METADATA, OWN_FOLDERS, Manifest
from casaprov.errors import CrateError, Issue, MissingDependency, UsageError
from casaprov.files.regular import digest_file

__all__ = ["LIST", "SIGNATURES", "is_signature", "list_issues", "payload_list", "signed_files", "signers"]

SIGNATURES: Final = "casaprov-signatures"
LIST: Final = f"{SIGNATURES}/payload.sha256"

_SIGNATURE = re.compile(rf"{SIGNATURES}/[0-9a-f]{{16}}\.sig")
_NAMESPACE = "casaprov-crate"
_MOST_BYTES = 2**26
_MOST_SIGNATURES = 100
_KEY_TYPES = ("ssh-", "ecdsa-", "sk-ssh-", "sk-ecdsa-")


def payload_list(folder: Path, manifest: Manifest) -> bytes:
    """Return the list of the payload of an unpacked crate."""
    tops = [folder / name for name in OWN_FOLDERS]
    files = [path for top in tops for path in top.rglob("*") if path.is_file()] + [folder / manifest.notebook]
    names = sorted(path.relative_to(folder).as_posix() for path in files)
    lines = (f"{digest_file(folder / name).removeprefix('sha256:')}  {name}\n" for name in names)
    return "".join(lines).encode("utf-8", "surrogateescape")


def is_signature(path: str) -> bool:
    """Return True for the path of the list or of a signature; other files beside them were added by others."""
    return path == LIST or _SIGNATURE.fullmatch(path) is not None


def list_issues(folder: Path, manifest: Manifest) -> Iterator[Issue]:
    """Yield an issue if a crate has a signed list that is not that of its payload."""
    path = folder / LIST
    if not path.is_file():
        return
    if path.stat().st_size > _MOST_BYTES or path.read_bytes() != payload_list(folder, manifest):
        yield Issue(LIST, "What was signed is not what this crate holds.")


def signed_files(folder: Path, manifest: Manifest, key: Path) -> dict[str, bytes]:
    """Return the list of the payload and a signature of it, by their path in the crate.

    Raises
    ------
    UsageError
        If the key signs nothing.
    MissingDependency
        If there is no ``ssh-keygen``.
    """
    if not key.is_file():
        raise UsageError(f"There is no key {key}.", hint="Make one: ssh-keygen -t ed25519 -f FILE.")
    listed = payload_list(folder, manifest)
    done = _ssh_keygen("sign", "-f", str(key), "-n", _NAMESPACE, data=listed)
    if done.returncode != 0:
        hint = "Give a private key of SSH, or the public key of one in your agent."
        raise UsageError(f"{key} signs nothing: {_reason(done)}", hint=hint)
    name = hashlib.sha256(done.stdout).hexdigest()[:16]
    return {LIST: listed, f"{SIGNATURES}/{name}.sig": done.stdout}


def signers(crate: Path, keys: Path) -> tuple[str, ...]:
    """Return the names of those keys that signed the payload of a valid crate.

    Parameters
    ----------
    keys
        A public key of SSH, or a file of allowed signers (``ssh-keygen(1)``), which gives each key a name.

    Raises
    ------
    UsageError
        If there is no such file, or no key in it.
    MissingDependency
        If there is no ``ssh-keygen``.
    """
    try:
        text = keys.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The keys in {keys} cannot be read.", hint="Name a public key or allowed signers.") from error
    if text.startswith(_KEY_TYPES):
        # A key without a name gets that of its file.
        text = "".join(f"{keys.stem.replace(' ', '-')} {line}\n" for line in text.splitlines() if line.strip())
    listed, signatures = _stored(crate)
    found: dict[str, None] = {}
    with tempfile.TemporaryDirectory(prefix="casaprov-") as folder:
        allowed, signature = Path(folder, "allowed"), Path(folder, "signature")
        allowed.write_text(text, "utf-8")
        for data in signatures:
            signature.write_bytes(data)
            files = ("-f", str(allowed), "-s", str(signature))
            names = _ssh_keygen("find-principals", *files).stdout.decode(errors="replace").split()
            for name in names:
                options = ("-I", name, "-n", _NAMESPACE)
                if _ssh_keygen("verify", *files, *options, data=listed).returncode == 0:
                    found[name] = None
    return tuple(found)


def _stored(crate: Path) -> tuple[bytes, list[bytes]]:
    """Return the signed list and the signatures of a crate; nothing if it is not signed."""
    if crate.is_dir():
        roots = [path.parent for path in (crate / METADATA, *sorted(crate.glob(f"*/{METADATA}"))) if path.is_file()]
        if not roots or not (roots[0] / LIST).is_file():
            return b"", []
        paths = sorted((roots[0] / SIGNATURES).glob("*.sig"))[:_MOST_SIGNATURES]
        return (roots[0] / LIST).read_bytes(), [path.read_bytes() for path in paths]
    with zipfile.ZipFile(crate) as archive:
        names = archive.namelist()
        root = min((name for name in names if name.endswith(METADATA)), key=len).removesuffix(METADATA)
        if root + LIST not in names:
            return b"", []
        inside = [n for n in names if n.startswith(f"{root}{SIGNATURES}/") and n.endswith(".sig")]
        return archive.read(root + LIST), [archive.read(name) for name in sorted(inside)[:_MOST_SIGNATURES]]


def _ssh_keygen(what: str, *options: str, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(["ssh-keygen", "-Y", what, *options], input=data, capture_output=True, check=False)
    except FileNotFoundError as error:
        raise MissingDependency(
            "The program ssh-keygen is not installed.", hint="Install OpenSSH 8.2 or later (openssh-client)."
        ) from error
    except OSError as error:
        raise CrateError(f"ssh-keygen cannot be run: {error.strerror}.") from error


def _reason(done: subprocess.CompletedProcess[bytes]) -> str:
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "ssh-keygen gave no reason."
