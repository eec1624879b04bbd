"""Settings of an archive: defaults that work, and mistakes that are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from casaprov.archive.settings import load_settings
from casaprov.errors import UsageError


def test_an_archive_without_a_file_has_defaults(tmp_path: Path) -> None:
    settings = load_settings(tmp_path, port=9000, listen=None)
    assert (settings.port, settings.listen) == (9000, "127.0.0.1")
    assert settings.database_url == f"sqlite:///{tmp_path}/archive.sqlite"


def test_the_command_line_wins_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "archive.toml").write_text(
        'url = "https://archive.example/"\n[identity]\nissuer = "https://a.example"\n[limits]\nmax_upload = "5 GB"\n'
        '[replay]\ndata = ["/data"]\n'
    )
    settings = load_settings(tmp_path, issuer="https://b.example")
    assert settings.url == "https://archive.example"
    assert settings.identity.issuer == "https://b.example"
    assert settings.limits.max_upload == 5 * 10**9
    assert settings.replay.data == ("/data",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("colour = 1", "there is no setting 'colour'"),
        ("[limits]\nmax_uploads = 1", r"\[limits\]: there is no setting 'max_uploads'"),
        ("[limits]\nmax_upload = 'much'", "max_upload cannot be 'much'"),
        ("[policy]\npublish = 'all'", "publish cannot be 'all'"),
        ("port = 'a'", "port cannot be 'a'"),
        ("limits = 1", "limits cannot be 1"),
        ("replay.data = '/data'", "data cannot be '/data'"),
        ("=", "cannot be read"),
    ],
)
def test_a_wrong_setting_is_named(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "archive.toml").write_text(text)
    with pytest.raises(UsageError, match=message):
        load_settings(tmp_path)
