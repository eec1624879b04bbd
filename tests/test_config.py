"""Settings: where they come from, which wins, and what is said of a wrong one."""

from __future__ import annotations

from pathlib import Path

import pytest

from casaprov.config import Config, load_config, size_of
from casaprov.errors import UsageError


def _project(folder: Path, table: str) -> Path:
    (folder / "pyproject.toml").write_text(f"[tool.casaprov]\n{table}\n")
    return folder


def test_without_any_choice_the_defaults_hold(tmp_path: Path) -> None:
    config = load_config(tmp_path, {})
    assert config == Config()
    assert set(config.sources.values()) == {"default"}


def test_the_nearest_project_file_above_the_folder_counts(tmp_path: Path) -> None:
    _project(tmp_path, 'digest = "fast"\nfast-above = "2 GB"')
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    config = load_config(below, {})
    assert (config.digest, config.fast_above) == ("fast", 2 * 10**9)
    assert config.sources["digest"] == str(tmp_path / "pyproject.toml")
    (tmp_path / "a" / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    assert load_config(below, {}).digest == "full"


def test_the_session_wins_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    _project(tmp_path, 'digest = "fast"\nworkers = 3')
    config = load_config(tmp_path, {"CASAPROV_DIGEST": "full", "CASAPROV_WORKERS": "4"}, [("workers", 5)])
    assert (config.digest, config.workers) == ("full", 5)
    assert config.sources["digest"] == "CASAPROV_DIGEST"
    assert config.sources["workers"] == "%casaprov config"


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ('digest = "quick"', "digest cannot be 'quick'. It is full or fast."),
        ("fast_above = -1", "fast_above cannot be -1. It is a size such as 10 GB."),
        ("workers = 0", "workers cannot be 0. It is a number such as 2."),
        ("workers = 1.5", "workers cannot be 1.5. It is a number such as 2."),
        ("workers = true", "workers cannot be True. It is a number such as 2."),
        ("store = 5", "store cannot be 5. It is the path of a folder."),
        ("store_days = 0", "store_days cannot be 0. It is a number of days such as 90."),
        ("store_size = 'much'", "store_size cannot be 'much'. It is a size such as 10 GB."),
        ("speed = 9", "there is no setting 'speed'. The settings are digest, "),
        ("digest = ", "cannot be read"),
    ],
)
def test_a_wrong_setting_is_named_with_its_file(tmp_path: Path, table: str, expected: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_config(_project(tmp_path, table), {})
    assert expected in str(caught.value)
    assert str(tmp_path / "pyproject.toml") in str(caught.value)


@pytest.mark.parametrize(("text", "size"), [("10 GB", 10**10), ("1.5k", 1500), (4096, 4096), ("2TB", 2 * 10**12)])
def test_sizes_are_written_with_decimal_units(text: object, size: int) -> None:
    assert size_of(text) == size
