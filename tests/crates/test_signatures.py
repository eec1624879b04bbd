"""Signatures hold for the payload, whatever an archive says about it, and for nothing else."""

from __future__ import annotations

import json
import subprocess
import zipfile
from pathlib import Path

import pytest

from casaprov.cli.commands import main
from casaprov.crate import open_crate, sign_crate
from casaprov.crates.checking.validation import examine_crate
from casaprov.crates.signatures import signers
from casaprov.errors import UsageError
from sample_records import make_reduction, pack_reduction


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the keys ``anna`` and ``bert``."""
    folder = tmp_path_factory.mktemp("keys")
    for name in ("anna", "bert"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", folder / name]
        subprocess.run(list(map(str, command)), check=True)
    return folder


@pytest.fixture(scope="module")
def signed(keys: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("signed")
    pack_reduction(make_reduction(folder / "nb"), folder / "x.zip")
    assert main(["sign", str(folder / "x.zip"), "--key", str(keys / "anna"), "-o", str(folder / "signed.zip")]) == 0
    return folder / "signed.zip"


def validated(crate: Path, key: Path, capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, str]:
    code = main(["validate", str(crate), "--signed-by", str(key), "--json", *options])
    found = json.loads(capsys.readouterr().out)
    return code, " ".join(one["message"] for one in (*found.get("errors", ()), *found.get("notes", ())))


def test_the_signer_is_known_and_others_are_not(signed: Path, keys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert examine_crate(signed).strict().errors == ()
    assert validated(signed, keys / "anna.pub", capsys, "--strict") == (0, "Signed by anna.")
    code, said = validated(signed, keys / "bert.pub", capsys)
    assert (code, said) == (1, "None of the keys in bert.pub signed this crate.")


def test_allowed_signers_give_names_and_two_may_sign(
    signed: Path, keys: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sign_crate(signed, tmp_path / "both.zip", keys / "bert")
    allowed = tmp_path / "allowed"
    allowed.write_text("".join(f"{name}@example.org {(keys / f'{name}.pub').read_text()}" for name in ("anna", "bert")))
    code, said = validated(tmp_path / "both.zip", allowed, capsys)
    assert code == 0
    assert sorted(said.replace(". ", ".|").split("|")) == ["Signed by anna@example.org.", "Signed by bert@example.org."]


def test_an_archive_may_describe_it_and_a_program_without_casaprov_checks_it(
    signed: Path, keys: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["annotate", str(signed), "--doi", "10.5281/zenodo.1", "-o", str(tmp_path / "y.zip")]) == 0
    capsys.readouterr()
    code, said = validated(tmp_path / "y.zip", keys / "anna.pub", capsys)
    assert code == 0
    assert "Signed by anna." in said
    folder = open_crate(tmp_path / "y.zip", tmp_path / "crate").folder
    subprocess.run(["sha256sum", "--quiet", "-c", "casaprov-signatures/payload.sha256"], cwd=folder, check=True)
    assert validated(folder, keys / "anna.pub", capsys)[0] == 0


def test_another_payload_or_signature_is_an_error(
    signed: Path, keys: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = open_crate(signed, tmp_path / "crate").folder
    listed = folder / "casaprov-signatures" / "payload.sha256"
    text = listed.read_text()
    listed.write_text(text.replace(text[0], "0" if text[0] != "0" else "1", 1))
    code, said = validated(folder, keys / "anna.pub", capsys)
    assert (code, said) == (1, "What was signed is not what this crate holds.")
    listed.write_text(text)
    (signature,) = (folder / "casaprov-signatures").glob("*.sig")
    signature.write_text("-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----\n")
    assert validated(folder, keys / "anna.pub", capsys)[0] == 1


def test_what_signs_nothing_is_refused(keys: Path, tmp_path: Path) -> None:
    pack_reduction(make_reduction(tmp_path / "nb"), tmp_path / "x.zip")
    for key in (tmp_path / "none", tmp_path / "x.zip"):
        with pytest.raises(UsageError):
            sign_crate(tmp_path / "x.zip", tmp_path / "y.zip", key)
    assert not (tmp_path / "y.zip").exists()
    assert [name for name in zipfile.ZipFile(tmp_path / "x.zip").namelist() if "signatures" in name] == []
    with pytest.raises(UsageError, match="cannot be read"):
        signers(tmp_path / "x.zip", keys / "no")
