"""The tier ``fast``: little is read, the record says so, and nothing is claimed that was not looked at."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from casacore import tables as casacore
from rich.console import Console

from casaprov.casa.session import tier_by_size
from casaprov.cli.render import comparison_view, replay_view
from casaprov.comparison.products import Tolerance, compare_trees
from casaprov.config import Config
from casaprov.digests import measurement, table
from casaprov.digests.digester import Digester
from casaprov.digests.disk_cache import DigestCache
from casaprov.digests.measurement import Measurement, measure
from casaprov.digests.sketch import sample_places
from casaprov.digests.tree import content_digest
from casaprov.files.stamps import stamp
from casaprov.journal.document import read_document
from casaprov.journal.writer import Journal
from casaprov.readers.casacore_tables import CasacoreReader
from casaprov.readers.installed import fits_reader
from casaprov.recorder import Recorder
from casaprov.recording.archive_checksums import checksums_beside
from casaprov.recording.explanations import Background
from casaprov.records.model import Checksum, Entity, Environment, Session, Tier
from casaprov.replays.report import REPORT_FORMAT, ReplayReport
from casaprov.tasks.calls import TaskCall, TaskResult
from casaprov.tasks.specs import TaskSpec, load_specs
from here_pool import HerePool

ROWS, CELL = 600, (4, 8)


@pytest.fixture(autouse=True)
def _small_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sample columns and files from 64 kB on."""
    for module in (measurement, table):
        monkeypatch.setattr(module, "SAMPLED_BYTES", 2**16)


@pytest.fixture
def tested() -> Iterator[Digester]:
    with closing(Digester(HerePool(), DigestCache(None, max_bytes=10**8))) as made:
        yield made


@pytest.fixture
def ms(tmp_path: Path) -> Path:
    path = tmp_path / "raw.ms"
    columns = [
        casacore.makearrcoldesc("DATA", 0j, ndim=2, valuetype="complex"),
        casacore.makearrcoldesc("FLAG", False, ndim=2),
        casacore.makescacoldesc("TIME", 0.0),
    ]
    rng = np.random.default_rng(5)
    with casacore.table(str(path), casacore.maketabdesc(columns), nrow=ROWS, ack=False) as table:
        table.putcol("DATA", (rng.normal(size=(ROWS, *CELL)) + 1j * rng.normal(size=(ROWS, *CELL))).astype("complex64"))
        table.putcol("FLAG", rng.normal(size=(ROWS, *CELL)) > 1)
        table.putcol("TIME", np.arange(float(ROWS)))
        table.putinfo({"type": "Measurement Set", "subType": "", "readme": ""})
    return path


def _here(path: Path, tier: Tier) -> Measurement:
    return measure(path, CasacoreReader, fits_reader, tier=tier)


def _put(path: Path, column: str, place: int, value: Any) -> None:
    """Change one value of a column, by its place in the stream of values."""
    with casacore.table(str(path), readonly=False, ack=False) as table:
        row, inside = divmod(place, int(np.prod(CELL)))
        cell = table.getcell(column, row)
        cell.reshape(-1)[inside] = value
        table.putcell(column, row, cell)


def test_a_fast_digest_is_none_of_the_whole_content(ms: Path) -> None:
    fast, full = _here(ms, "fast"), _here(ms, "full")
    assert (fast.tier, full.tier) == ("fast", "full")
    assert fast.content_digest != full.content_digest
    assert fast.tree is not None
    assert full.tree is not None
    assert content_digest(fast.tree) == fast.content_digest
    columns = fast.tree["table"]["columns"]
    assert columns["DATA"]["samples"]["count"] == len(sample_places(ROWS * int(np.prod(CELL))))
    assert {name: columns[name] == full.tree["table"]["columns"][name] for name in columns} == {
        "DATA": False,
        "FLAG": True,
        "TIME": True,
    }


def test_what_is_small_is_read_as_a_whole_in_both_tiers(tmp_path: Path) -> None:
    (tmp_path / "small").write_bytes(b"x" * 2**16)
    assert _here(tmp_path / "small", "fast") == _here(tmp_path / "small", "full")


def test_samples_are_those_of_the_sketch(ms: Path) -> None:
    places = sample_places(ROWS * int(np.prod(CELL))).tolist()
    outside = next(place for place in range(10**4) if place not in places)
    before = _here(ms, "fast").content_digest
    _put(ms, "DATA", outside, 77)
    assert _here(ms, "fast").content_digest == before
    _put(ms, "DATA", places[100], 77)
    assert _here(ms, "fast").content_digest != before


def test_one_flag_counts_in_both_tiers(ms: Path) -> None:
    before = _here(ms, "fast").content_digest
    with casacore.table(str(ms), ack=False) as table:
        flag = bool(table.getcell("FLAG", 0)[0, 0])
    _put(ms, "FLAG", 0, not flag)
    assert _here(ms, "fast").content_digest != before


def test_workers_take_the_same_samples(ms: Path, tested: Digester, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = _here(ms, "fast")
    monkeypatch.setattr("casaprov.digests.parallel._SMALL_BYTES", -1)
    monkeypatch.setattr("casaprov.digests.parallel._LARGE_BYTES", 1)
    assert tested.measure(ms, tier="fast") == whole
    assert tested.measure(ms).tier == "full"
    assert tested.measure(ms, tier="fast") is tested.measure(ms, tier="fast")


def test_a_large_file_and_a_folder_that_holds_one_are_sampled(tmp_path: Path) -> None:
    folder = tmp_path / "asdm"
    folder.mkdir()
    file = folder / "raw.bin"
    file.write_bytes(os.urandom(2_000_000))
    fast = _here(file, "fast")
    assert (fast.kind, fast.tier, fast.byte_digest) == ("File", "fast", None)
    assert _here(folder, "fast").tier == "fast"
    assert _here(folder, "full").tier == "full"
    with file.open("ab") as stream:
        stream.write(b"x")
    assert _here(file, "fast").content_digest != fast.content_digest


def test_golden_fast_digests(ms: Path, tmp_path: Path) -> None:
    file = tmp_path / "raw.bin"
    file.write_bytes(bytes(range(256)) * 1000)
    blocks = [file.read_bytes()[4096 * place :][:4096] for place in sample_places(63).tolist()]
    record = f'["casaprov/file-samples/1",256000,"{hashlib.sha256(b"".join(blocks)).hexdigest()}"]'
    assert _here(file, "fast").content_digest == "sha256:" + hashlib.sha256(record.encode()).hexdigest()
    with casacore.table(str(ms), ack=False) as table:
        values = table.getcol("DATA").reshape(-1)[sample_places(ROWS * 32)].tobytes()
    stream = f'["casaprov/values/1",{len(values)},["{hashlib.sha256(values).hexdigest()}"]]'
    stream = hashlib.sha256(stream.encode()).hexdigest()
    record = f'["casaprov/column-samples/1","complex64",[[{ROWS},[8,4]]],"sha256:{stream}"]'
    tree = _here(ms, "fast").tree
    assert tree is not None
    assert tree["table"]["columns"]["DATA"]["digest"] == "sha256:" + hashlib.sha256(record.encode()).hexdigest()


def test_golden_digest_of_stamps(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"12")
    os.utime(tmp_path / "b", ns=(0, 1_700_000_000_123_456_789))
    record = '["casaprov/stamps/1",[["b",2,1700000000123456789]]]'
    assert stamp(tmp_path).digest == "sha256:" + hashlib.sha256(record.encode()).hexdigest()


def test_verdicts_name_the_tier(ms: Path) -> None:
    recorded = _here(ms, "fast")
    same = compare_trees(recorded.tree, recorded.content_digest, None, _here(ms, "fast"), Tolerance())
    assert (same.verdict, same.tier) == ("same-content", "fast")
    assert "samples" in same.note
    assert "same-content (fast)" in str(comparison_view(same))
    with casacore.table(str(ms), readonly=False, ack=False) as table:
        table.putcol("DATA", table.getcol("DATA") * np.float32(1 + 1e-6))
    near = compare_trees(recorded.tree, recorded.content_digest, None, _here(ms, "fast"), Tolerance(rtol=1e-5))
    assert (near.verdict, near.tier, near.differences[0].path) == ("not-verifiable", "fast", "DATA")
    assert "the original itself would decide; of large columns and files only samples were read" in near.note
    far = compare_trees(recorded.tree, recorded.content_digest, None, _here(ms, "fast"), Tolerance(rtol=1e-7))
    assert (far.verdict, far.tier) == ("differs", "fast")


def test_a_replay_says_of_which_inputs_only_samples_were_compared() -> None:
    began = "2026-05-01T10:00:00.000000+00:00"
    report = ReplayReport(
        crate="x.zip", work="w", started_at=began, ended_at=began, steps=(), products=(), environment=(),
        confined=True, format=REPORT_FORMAT, sampled=("raw.ms",),
    )  # fmt: skip
    out = io.StringIO()
    Console(file=out, width=120).print(replay_view(report))
    assert "Only samples of these inputs were recorded and compared (tier fast): raw.ms" in out.getvalue()


# -- recording ---------------------------------------------------------------------------------


class Story:
    """Records calls that may change a file, in the tier that the settings say."""

    def __init__(self, folder: Path, digester: Digester, config: Config) -> None:
        self.folder = folder
        self.session = Session(
            id="s",
            started_at="2026-05-01T10:00:00.000000+00:00",
            folder=folder.as_posix(),
            environment=Environment(),
            casaprov="0",
            notebook="n.ipynb",
        )
        self.recorder = Recorder(
            journal=Journal(folder / ".casaprov" / "n", self.session),
            digester=digester,
            specs=load_specs(),
            background=Background(checksums=checksums_beside, tier=tier_by_size(config)),
        )

    def call(self, task: str, change: Any = lambda: None, **parameters: Any) -> tuple[Entity, ...]:
        """Record a call; return the states it names."""
        spec: TaskSpec = load_specs()[task]
        call = TaskCall(
            task=task, package=spec.package, parameters=parameters, given=tuple(parameters), cwd=self.folder
        )
        open_call = self.recorder.begin(call)
        change()
        return self.recorder.end(open_call, TaskResult())[1]


@pytest.fixture
def story(ms: Path, tested: Digester) -> Story:
    return Story(ms.parent, tested, Config(digest="fast", fast_above=10**5))


def test_a_large_external_input_is_recorded_in_the_fast_tier(story: Story, ms: Path) -> None:
    (ms.parent / "raw.ms.md5").write_text(f"{'a' * 32}  raw.ms\n")
    (entity,) = story.call("listobs", vis=str(ms))
    assert entity.tier == "fast"
    assert entity.content_digest == _here(ms, "fast").content_digest
    assert entity.stamp is not None
    assert entity.checksums == (Checksum(algorithm="md5", value="a" * 32, source="raw.ms.md5"),)
    document = read_document(ms.parent / ".casaprov" / "n", "n.ipynb")
    assert [e.tier for e in document.entities] == ["fast"]


@pytest.mark.parametrize("config", [Config(), Config(digest="fast", fast_above=10**9)])
def test_without_the_setting_or_below_the_size_everything_is_read(ms: Path, tested: Digester, config: Config) -> None:
    (entity,) = Story(ms.parent, tested, config).call("listobs", vis=str(ms))
    assert (entity.tier, entity.stamp, entity.content_digest) == ("full", None, _here(ms, "full").content_digest)


def test_what_the_calls_make_is_read_as_a_whole(story: Story, ms: Path) -> None:
    made = ms.parent / "made.ms"

    def split() -> None:
        with casacore.table(str(ms), ack=False) as table:
            table.copy(str(made), deep=True).close()

    states = {e.path: e.tier for e in story.call("split", split, vis=str(ms), outputvis=str(made))}
    assert states == {"raw.ms": "fast", "made.ms": "full"}


def test_a_change_in_place_that_no_sample_shows_is_a_new_state(story: Story, ms: Path) -> None:
    places = sample_places(ROWS * 32).tolist()
    outside = next(place for place in range(10**4) if place not in places)
    states = story.call("uvsub", lambda: _put(ms, "DATA", outside, 77), vis=str(ms))
    assert [(e.path, e.tier) for e in states] == [("raw.ms", "fast")] * 2
    assert states[0].content_digest == states[1].content_digest
    assert states[1].revision_of == states[0].id
    (same,) = story.call("listobs", vis=str(ms))
    assert same.id == states[1].id


def test_files_that_somebody_wrote_are_a_gap_though_no_sample_changed(story: Story, ms: Path) -> None:
    (before,) = story.call("listobs", vis=str(ms))
    places = sample_places(ROWS * 32).tolist()
    _put(ms, "DATA", next(place for place in range(10**4) if place not in places), 77)
    (after,) = story.call("listobs", vis=str(ms))
    assert after.gap
    assert after.revision_of == before.id
    assert "only samples" in after.note


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("x.fits.md5", "{md5}", "md5"),
        ("x.fits.sha256", "{sha256}  x.fits\n", "sha256"),
        ("x.fits.sha512sum", "{sha512} *x.fits\n", "sha512"),
        ("SHA256SUMS", "{other}  y.fits\n{sha256}  ./x.fits\n", "sha256"),
        ("md5sum.txt", "{md5}\tx.fits\n", "md5"),
        ("MD5SUMS", "{md5}  y.fits\n", None),
        ("x.fits.md5", "{sha256}  x.fits\n", None),
        ("x.fits.md5", "no checksum", None),
        ("MD5SUMS", "{md5}\n", None),
    ],
)
def test_checksums_beside_a_file_are_read_as_coreutils_writes_them(
    tmp_path: Path, name: str, text: str, found: str | None
) -> None:
    sums = {"md5": "1" * 32, "sha256": "2" * 64, "sha512": "3" * 128, "other": "4" * 64}
    (tmp_path / name).write_text(text.format(**sums))
    checksums = checksums_beside(tmp_path / "x.fits")
    assert [(c.algorithm, c.value, c.source) for c in checksums] == ([(found, sums[found], name)] if found else [])


def test_a_pipe_in_the_place_of_checksums_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.fits.md5")
    assert checksums_beside(tmp_path / "x.fits") == ()
