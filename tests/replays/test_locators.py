"""Places that ``file`` locators of a crate lead to: no file of the user's, unless the user says so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from casaprov.digests.measurement import facts_of, measure
from casaprov.errors import InputMissing
from casaprov.readers.installed import fits_reader, table_reader
from casaprov.records.model import Document, Entity, Locator
from casaprov.replays.inputs import InputFinder, NotFollowed
from casaprov.replays.locators import FileLocators
from sample_records import journaled


@pytest.fixture
def document(tmp_path: Path) -> Document:
    """The records of a crate, whose journal is on this machine."""
    return journaled(tmp_path / "nb").document


def own_locator(document: Document) -> str:
    locators = (locator for entity in document.entities for locator in entity.locators)
    return next(locator.value for locator in locators if locator.scheme == "file")


def test_what_ones_own_journal_names_is_followed(document: Document) -> None:
    value = own_locator(document)
    assert FileLocators(document, ()).resolve(value) == Path(value)


def test_a_path_that_a_crate_adds_to_ones_own_record_is_not(document: Document, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("the password")
    with pytest.raises(NotFollowed, match="you did not record this crate here"):
        FileLocators(document, ()).resolve(str(tmp_path / "secret"))


def test_a_crate_from_elsewhere_leads_only_below_folders_that_the_user_names(
    document: Document, tmp_path: Path
) -> None:
    sessions = tuple(replace(session, folder="/home/somebody") for session in document.sessions)
    locators = FileLocators(replace(document, sessions=sessions), (tmp_path / "data",))
    for value in (own_locator(document), f"{tmp_path}/data/../secret", "/etc/shadow"):
        with pytest.raises(NotFollowed):
            locators.resolve(value)
    assert locators.resolve(f"{tmp_path}/data/deep/x.ms") == tmp_path / "data" / "deep" / "x.ms"


@pytest.mark.parametrize("value", ["/proc/self/environ", "/sys/kernel", "/dev/null", "/run/x", "/etc/../proc/1/mem"])
def test_nothing_of_the_kernel_is_ever_read(document: Document, value: str) -> None:
    with pytest.raises(NotFollowed, match="it leads below"):
        FileLocators(document, (Path("/"),)).resolve(value)


def test_a_link_to_the_kernels_files_is_not_followed(document: Document, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/proc/self")
    with pytest.raises(NotFollowed, match="it leads below"):
        FileLocators(document, (tmp_path,)).resolve(f"{tmp_path}/link/environ")


def test_the_message_tells_neither_digest_nor_size_of_what_was_found(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("the password")
    (tmp_path / "n.txt").write_text("another text")
    recorded = measure(tmp_path / "n.txt", table_reader, fits_reader)
    secret = measure(tmp_path / "secret", table_reader, fits_reader)
    locator = Locator(scheme="file", value=str(tmp_path / "secret"))
    entity = Entity(id="e", path="m.txt", locators=(locator,), **facts_of(recorded, derived=False))
    finder = InputFinder(
        resolvers={"file": FileLocators(Document(notebook="n.ipynb"), (tmp_path,)).resolve},
        folders=(),
        measure=lambda path, **_: measure(path, table_reader, fits_reader),
        shipped=lambda _: None,
    )
    with pytest.raises(InputMissing, match="secret has other content") as caught:
        finder.find(entity)
    assert secret.content_digest[:16] not in str(caught.value)


def test_an_account_that_was_masked_is_ones_own(document: Document, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("casaprov.records.home_folder.account_name", lambda: "my data")
    assert FileLocators(document, ()).resolve("/data/user/N.fits") == Path("/data/my data/N.fits")
    with pytest.raises(NotFollowed):
        FileLocators(document, ()).resolve("/data/users/N.fits")
