"""The landing page in a real browser, as wide as a laptop and as a phone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from casaprov.archive.deposits import Deposit, Verdict, VerdictSummary
from served_archive import ServedArchive, a_zip, serving

EVIL = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedArchive]:
    with serving(tmp_path_factory.mktemp("archive")) as archive:
        yield archive


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("there is no Chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture(scope="module")
def deposit(served: ServedArchive) -> Deposit:
    at = datetime(2026, 5, 2, tzinfo=UTC)
    verdict = Verdict(at=at, summary=VerdictSummary.VERIFIED, casa="6.7.0.31", counts={"same-content": 25})
    title = EVIL + "a_very_long_name_without_any_space" * 4
    return served.deposit(title=title, description=EVIL, verdicts=(verdict,), content=a_zip(**{f"{EVIL}.txt": b""}))


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (375, 812)], ids=["laptop", "phone"])
def test_a_page_fits_its_window_and_runs_nothing(
    served: ServedArchive, browser: Browser, deposit: Deposit, width: int, height: int
) -> None:
    page = browser.new_page(viewport={"width": width, "height": height})
    faults = _faults(page)
    page.goto(f"{served.url}/crates/{deposit.name}", wait_until="networkidle")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    picture = page.locator("figure img").first
    assert picture.evaluate("image => image.complete && image.naturalWidth > 0")
    assert page.locator(".download").is_visible()
    assert EVIL in page.locator("h1").inner_text()
    assert faults == []
    page.close()


def _faults(page: Page) -> list[str]:
    """Return a list that grows with each error, refusal and dialog of a page."""
    found: list[str] = []
    page.on("console", lambda message: found.append(message.text))
    page.on("pageerror", lambda error: found.append(str(error)))
    page.on("dialog", lambda dialog: found.append(f"dialog {dialog.message}"))
    return found
