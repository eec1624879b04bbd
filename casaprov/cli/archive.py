"""Commands around the archive: serving one, and depositing in one."""

from __future__ import annotations

import logging
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from casaprov.cli.console import err, extra, leaving, opened_digester, out, progress_bar, show, show_findings
from casaprov.cli.terminal import plain

if TYPE_CHECKING:
    from casaprov.archive.client import ArchiveClient

__all__ = ["archive"]

_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_to = click.option("--to", envvar="CASAPROV_ARCHIVE", required=True, metavar="URL", help="Address of the archive.")

_root = click.option(
    "--root", type=click.Path(file_okay=False, path_type=Path), required=True, help="Archive's folder."
)


@click.group()
def archive() -> None:
    """Deposit crates in an archive, or serve one.

    \b
    Example:
      casaprov archive submit ngc5921.crate.zip --to https://archive.example --obs-id N14C3
    """


@archive.command()
@_root
@click.option("--issuer", help="URL of the OpenID provider whose tokens are accepted.")
@click.option("--url", help="Address under which users reach the archive.")
@click.option("--listen", help="Address to listen on; by default 127.0.0.1, for a proxy on this machine.")
@click.option("--port", type=int, help="Port to listen on; by default 8765.")
@click.option("--scheduler", help="Address of a dask.distributed scheduler that replays are sent to.")
def serve(root: Path, issuer: str | None, url: str | None, listen: str | None, port: int | None, **more: str) -> None:
    """Serve an archive from a folder, which is made if it is not there.

    Its settings are in archive.toml of that folder; see docs/how-to/archive.md.

    \b
    Example:
      casaprov archive serve --root /srv/casaprov --issuer https://login.example/realms/evn
    """
    with extra("archive"):
        from casaprov.archive.app.serving import serve as serve_archive
        from casaprov.archive.settings import load_settings

    settings = load_settings(root, issuer=issuer, url=url, listen=listen, port=port, **more)

    def ready(address: str) -> None:
        out.print(f"The archive in {plain(str(settings.root))} answers at {address}", soft_wrap=True)
        if not settings.identity.issuer:
            token = settings.root / "local-token"
            err.print(f"No OpenID provider is set: the one token is in {plain(str(token))}", soft_wrap=True)

    logging.getLogger("alembic").setLevel(logging.WARNING)
    serve_archive(settings, on_ready=ready)


@archive.command(hidden=True)
@_root
@click.option("--queue", type=click.Choice(["checks", "replays"]), required=True)
@click.option("--scheduler")
def work(root: Path, queue: str, scheduler: str | None) -> None:
    """Work on a queue of an archive; 'serve' starts this."""
    with extra("archive"):
        from casaprov.archive.app.serving import work as work_on
        from casaprov.archive.settings import load_settings
        from casaprov.archive.tables.jobs import Queue

    work_on(load_settings(root, scheduler=scheduler), Queue(queue))


@archive.command()
@click.argument("subject", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@_to
@click.option("--obs-id", required=True, help="Observation that it was made from, such as N14C3.")
@click.option("--description", default="", help="Sentences for the readers of its page.")
@click.option("--license", "license_name", default="", help="SPDX name of the license; by default the archive's.")
@click.option("--new-version-of", default="", metavar="CRATE", help="Crate of yours, such as N14C3-0001.")
@click.option("--public-from", default="", metavar="DATE", help="Date before which nobody else sees it.")
@_json_option
def submit(*, subject: Path, to: str, license_name: str, as_json: bool, **fields: str) -> int:
    """Deposit a crate, or a recorded notebook, of which a crate is made first.

    The crate is validated before it is sent. If the connection breaks, or the
    command is interrupted, the same command goes on where it ended.

    \b
    Example:
      casaprov archive submit ngc5921.ipynb --to https://archive.example --obs-id N14C3
    """
    from casaprov.cli.render import issues_view
    from casaprov.crates.checking.validation import check_crate

    with tempfile.TemporaryDirectory(prefix="casaprov-") as folder:
        crate = _exported(subject, Path(folder)) if subject.suffix in (".ipynb", ".py") else subject
        if issues := check_crate(crate):
            err.print(issues_view(issues), soft_wrap=True)
            err.print(f"{plain(str(subject))} is not valid, and was not sent.", soft_wrap=True)
            return 1
        client = _client(to)
        with leaving("The same command goes on with what has arrived."), progress_bar(crate.name) as on_progress:
            receipt = client.submit(crate, on_progress=on_progress, license=license_name, **fields)
    show(receipt, as_json, _receipt_view)
    return 0


@archive.command()
@click.argument("deposit", required=False)
@_to
@_json_option
def status(*, deposit: str | None, to: str, as_json: bool) -> int:
    """Show a deposit of yours, or all of them.

    \b
    Example:
      casaprov archive status --to https://archive.example
    """
    client = _client(to)
    if deposit is None:
        show(client.listed(), as_json, lambda found: "\n".join(map(_line, found)) or "You have no deposits there.")
        return 0
    receipt = client.status(deposit)
    show(receipt, as_json, _receipt_view)
    return 1 if receipt.get("state") == "rejected" else 0


@archive.command()
@click.argument("deposit")
@_to
@click.option("--reason", required=True, help="Sentence that readers will find in its place.")
@_json_option
def withdraw(*, deposit: str, to: str, reason: str, as_json: bool) -> None:
    """Withdraw a deposit; its page keeps the reason.

    \b
    Example:
      casaprov archive withdraw 348478285567b45399ef26cc --reason "wrong field" --to https://archive.example
    """
    show(_client(to).withdraw(deposit, reason), as_json, _receipt_view)


@archive.command()
@_root
@_json_option
def doctor(*, root: Path, as_json: bool) -> int:
    """Check an archive, and name a remedy for each missing part.

    \b
    Example:
      casaprov archive doctor --root /srv/casaprov
    """
    with extra("archive"):
        from casaprov.archive.app.checks import checks
        from casaprov.archive.settings import load_settings
    from casaprov.doctor import examine

    return 3 if show_findings(examine(checks(load_settings(root))), as_json) else 0


def _client(to: str) -> ArchiveClient:
    """Return a client with the person's token."""
    with extra("archive"):
        from casaprov.archive.client import ArchiveClient
        from casaprov.archive.login import CLIENT_VARIABLE, device_token, found_token

    token = found_token(os.environ)
    if not token:
        client_id = os.environ.get(CLIENT_VARIABLE, "casaprov")
        token = device_token(ArchiveClient(to), _ask_to_log_in, client_id=client_id)
    return ArchiveClient(to, token)


def _ask_to_log_in(address: str, code: str) -> None:
    err.print(f"Log in at {plain(address)} with the code {plain(code)}", soft_wrap=True)


def _exported(notebook: Path, folder: Path) -> Path:
    """Make a crate of a notebook."""
    with extra("jupyter"):
        from casaprov.notebook.export import export_notebook
    from casaprov.crates.payload import PayloadPolicy

    crate = folder / f"{notebook.stem}.crate.zip"
    with opened_digester() as digester:
        export_notebook(notebook, crate, policy=PayloadPolicy(), measure=digester.measure)
    return crate


def _line(receipt: dict[str, Any]) -> str:
    return plain(
        f"{receipt['id']}  {receipt['state']:<10} {receipt['name']} v{receipt['version']}  {receipt['filename']}"
    )


def _receipt_view(receipt: dict[str, Any]) -> str:
    lines = [_line(receipt), plain(f"DID      {receipt['did']}"), plain(f"sha256   {receipt['sha256']}")]
    if receipt.get("reason"):
        lines.append(plain(f"reason   {receipt['reason']}"))
    lines += [plain(f"issue    {issue['path']} {issue['message']}") for issue in receipt.get("issues", ())]
    if replay := receipt.get("replay"):
        lines.append(plain(f"replay   {replay['at']} {replay['summary']} {replay['note']}".rstrip()))
    lines += [plain(f"{name:<8} {link}") for name, link in receipt.get("links", {}).items() if isinstance(link, str)]
    return "\n".join(lines)
