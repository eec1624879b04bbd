"""``%casaprov diff``: this session against the one before it, or against another one."""

from __future__ import annotations

from pathlib import Path

import pytest

from casaprov.errors import UsageError
from casaprov.journal.document import read_document
from casaprov.kernel.magics.last_run import diff_page
from casaprov.kernel.page import bundle_of
from sample_records import journaled


def test_this_session_is_compared_with_the_one_before_it(tmp_path: Path) -> None:
    made = journaled(tmp_path)
    first = made.document.sessions[0].id
    with pytest.raises(UsageError, match="first run"):
        diff_page(read_document(made.journal, "n"), made.notebook, first, "")

    later = first[:-6] + "fffff1"
    text = (made.journal / f"{first}.jsonl").read_text().replace(first, later)
    text = text.replace(made.document.sessions[0].started_at, "2099-01-01T00:00:00.000000+00:00")
    given = next(a for a in made.document.activities if a.task == "gaincal").parameters["solint"]
    (made.journal / f"{later}.jsonl").write_text(text.replace(f'"solint":"{given}"', '"solint":"<b>60s</b>"'))
    document = read_document(made.journal, "n")
    for session, earlier in ((later, ""), (later, first[-6:]), ("", "1")):
        page = bundle_of(diff_page(document, made.notebook, session, earlier))
        assert f"solint: '{given}' → '<b>60s</b>'" in page["text/plain"]
        assert "no effect" in page["text/plain"]
        assert "<b>60s" not in page["text/html"]
    with pytest.raises(UsageError, match="none of its sessions"):
        diff_page(document, made.notebook, later, "nothing")
