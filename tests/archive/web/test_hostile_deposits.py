"""Crates that somebody made to do harm, sent over HTTP: rejected, with reasons that show no path and run nothing."""

from __future__ import annotations

import io
import json
import stat
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import requests

from archived import Served, served
from casaprov.archive.deposits import State
from casaprov.archive.settings import LimitSettings, ReplaySettings
from sample_records import make_credits, make_reduction, pack_reduction

EVIL = "<img src=x onerror=alert(1)>"
METADATA = "ro-crate-metadata.json"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    replay = ReplaySettings(enabled=False, max_disk=50 * 10**6)
    with served(tmp_path_factory.mktemp("archive"), limits=LimitSettings(keep_free=0), replay=replay) as running:
        yield running


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A small crate that nothing is wrong with."""
    folder = tmp_path_factory.mktemp("sound")
    return pack_reduction(make_reduction(folder / "nb"), folder / "x.zip").path.read_bytes()


def with_entry(name: str, data: bytes = b"x", mode: int = 0o100644, method: int = zipfile.ZIP_DEFLATED) -> Attack:
    """Return an attack that adds an entry to a sound crate."""

    def attack(crate: bytes) -> bytes:
        made = io.BytesIO(crate)
        with zipfile.ZipFile(made, "a") as archive:
            info = zipfile.ZipInfo("x")
            info.filename = name  # ZipInfo would clean it
            info.external_attr, info.compress_type = mode << 16, method
            archive.writestr(info, data)
        return made.getvalue()

    return attack


def with_member(name: str, change: Callable[[bytes], bytes]) -> Attack:
    """Return an attack that changes a file of a sound crate."""

    def attack(crate: bytes) -> bytes:
        made = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(crate)) as old, zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as new:
            assert name in old.namelist()
            for info in old.infolist():
                data = old.read(info)
                new.writestr(info.filename, change(data) if info.filename == name else data)
        return made.getvalue()

    return attack


def empty(crate: bytes) -> bytes:
    """Return a zip without a file."""
    made = io.BytesIO()
    zipfile.ZipFile(made, "w").close()
    return made.getvalue()


def twice(crate: bytes) -> bytes:
    """Return a zip that holds a name twice."""
    with pytest.warns(UserWarning, match="Duplicate name"):
        return with_entry(METADATA)(crate)


Attack = Callable[[bytes], bytes]
ATTACKS: dict[str, Attack] = {
    "climbs": with_entry("../../evil"),
    "absolute": with_entry("/etc/cron.d/evil"),
    "backslash": with_entry("a\\..\\..\\evil"),
    "drive": with_entry("C:/evil"),
    "control characters": with_entry("a\x1b[31mb\n"),
    "bidi": with_entry("a\u202egpj.exe"),
    "long name": with_entry("n" * 5000),
    "deep": with_entry("/".join(["d"] * 500)),
    "link": with_entry("link", b"/etc/passwd", stat.S_IFLNK | 0o777),
    "pipe": with_entry("pipe", b"", stat.S_IFIFO | 0o644),
    "device": with_entry("device", b"", stat.S_IFCHR | 0o644),
    "bomb": with_entry("bomb", bytes(60 * 10**6)),
    "other compression": with_entry("lzma", b"x" * 1000, method=zipfile.ZIP_LZMA),
    "twice": twice,
    "file and folder": with_entry(f"{METADATA}/x"),
    "before": lambda crate: b"PK\x03\x04 something else" + crate,
    "after": lambda crate: crate + crate,
    "cut": lambda crate: crate[: len(crate) // 2],
    "empty": empty,
    "no JSON": with_member(METADATA, lambda _: b"{"),
    "deep JSON": with_member(METADATA, lambda _: b"[" * 100_000),
    "wrong JSON": with_member(METADATA, lambda _: b'{"@graph": [1, {"@id": 7}]}'),
    "large numbers": with_member("records/document.json", lambda _: b'{"a": ' + b"9" * 100_000 + b"}"),
    "other records": with_member("records/document.json", lambda data: data.replace(b"flagdata", EVIL.encode())),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_a_hostile_crate_is_rejected_and_its_answer_shows_nothing_of_the_server(
    archive: Served, sound: bytes, name: str
) -> None:
    crate = ATTACKS[name](sound)
    assert crate != sound
    receipt = archive.deposit(crate)
    archive.work()
    deposit = archive.state(receipt)
    assert deposit.state is State.REJECTED
    answer = archive.get(f"/api/deposits/{deposit.id}", "ada")
    assert answer.json()["issues"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Type"] == "application/json"
    root = archive.archive.settings.root
    assert not [text for text in (str(root), root.name, "/tmp", "check-", "Traceback") if text in answer.text]
    assert archive.spooled() == []
    assert not archive.archive.storage.has(deposit.did)
    assert list(archive.archive.settings.work.rglob("check-*")) == []
    for path in (f"/crates/{deposit.name}", f"/crates/{deposit.name}/v1/crate.zip"):
        assert archive.get(path).status_code == 404


def test_a_sound_crate_full_of_script_is_published_as_text(archive: Served, tmp_path: Path) -> None:
    credited = replace(make_credits(), description=EVIL, keywords=(EVIL,))
    credited = replace(credited, authors=(replace(credited.authors[0], name=f"Ada {EVIL}"),))
    reduction = make_reduction(tmp_path / "nb")
    packed = pack_reduction(reduction, tmp_path / "x.zip", credited, title=f"NGC 5921 {EVIL}")
    crate = with_entry(f"{EVIL}.png")(packed.path.read_bytes())
    receipt = archive.deposit(crate, f"{EVIL}.zip", description=f"Seen by {EVIL}")
    archive.work()
    deposit = archive.state(receipt)
    assert (deposit.state, deposit.issues) == (State.PUBLISHED, ())
    assert EVIL in deposit.title
    base = f"/crates/{deposit.name}"
    oai = "/oai?verb=ListRecords&metadataPrefix=oai_datacite"
    for path in ("/", base, f"{base}/v1", oai, f"/datalink?ID={deposit.did}"):
        answer = archive.get(path)
        assert answer.status_code == 200, path
        assert "<img src=x" not in answer.text, path
        assert "<script" not in answer.text, path
    assert f"NGC 5921 {EVIL}" in archive.get(f"{base}/v1/datacite.json").json()["titles"][0]["title"]
    problem = archive.get(f"/crates/{EVIL}-0001")
    assert problem.headers["Content-Type"] == "application/problem+json"
    assert json.loads(problem.text)["status"] == 404
    refused = requests.post(f"{archive.url}/api/deposits/{deposit.id}/withdraw", timeout=60)
    assert refused.headers["Content-Type"] == "application/problem+json"
