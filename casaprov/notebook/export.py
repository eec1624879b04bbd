"""``casaprov export``: a crate of a notebook or script and its journal."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol

from casaprov.crate import Packed, pack
from casaprov.crates.layout import METADATA, Manifest
from casaprov.crates.payload import PayloadItem, PayloadPolicy, choose_payload, limited, observed_items
from casaprov.credits.model import Credits
from casaprov.credits.repository import commit_of, public_address
from casaprov.credits.sources import find_credits, first_heading, missing_credits
from casaprov.descriptions.environment import FindHashes, with_file_hashes
from casaprov.descriptions.extras import extra_files
from casaprov.digests.measurement import Measure, Measurement
from casaprov.errors import CasaprovError, DigestError, JournalError, RecordError, UsageError
from casaprov.files.disk_names import clashes
from casaprov.hashing import digest_bytes
from casaprov.journal.document import read_document
from casaprov.journal.folder import (
    journal_folder,
    journals,
    place_of_record,
    present_folders,
    script_path,
    tree_path,
)
from casaprov.journal.kept_states import kept_state
from casaprov.journal.links import read_links, with_links
from casaprov.lineage.cell_order import find_out_of_order, find_stale
from casaprov.lineage.continued import Relevant
from casaprov.lineage.foreign import needed_states
from casaprov.lineage.graph import Lineage
from casaprov.lineage.inspection import inspect_document
from casaprov.lineage.saved_cells import notebook_notes
from casaprov.notebook.adopt_sessions import adopt_sessions, shown_sessions
from casaprov.notebook.ipynb import read_notebook
from casaprov.notebook.journals import find_session
from casaprov.notebook.subject import cell_numbers, relevance
from casaprov.previews.page import Picture, final_images, preview, shown_images
from casaprov.previews.png import QuickLook
from casaprov.privacy.clearance import PrivacyPolicy, cleared
from casaprov.recording.explanations import UnfinishedCalls
from casaprov.recording.late_states import PresentFiles, with_observers, with_present_states, without_lost_remains
from casaprov.records.model import Document
from casaprov.replays.plan import Outlook, outlook
from casaprov.scripts.cells import as_notebook, decoded, is_script
from casaprov.tasks.specs import load_specs

__all__ = ["crate_name", "export_notebook", "find_journal", "record_of", "recorded_calls"]

Looks = Future[list[dict[str, Any] | None]]
QuickLooks = Callable[[list[Path]], Looks]


class ImageFits(Protocol):
    """FITS copies of images (:class:`casaprov.casa.image_fits.ImageFits`)."""

    @property
    def document(self) -> Document:
        """The Document with the calls that made them."""
        ...

    @property
    def files(self) -> Mapping[str, Path]:
        """The copies on disk, by the id of their Entity."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences about images without a copy."""
        ...


MakeFits = Callable[[Document, Mapping[str, Path], Path, Path], ImageFits]
"""Makes copies of images, which are given by the id of their Entity, in an empty folder; the last is the journal."""

_MOST_CALLS = 5
"""Number of calls that one sentence names."""


def export_notebook(
    notebook: Path,
    out: Path,
    *,
    policy: PayloadPolicy,
    measure: Measure[Measurement],
    overwrite: bool = False,
    title: str | None = None,
    with_observer: bool = False,
    with_observed: bool = False,
    given: Credits | None = None,
    required: Collection[str] = (),
    privacy: PrivacyPolicy | None = None,
    quick_looks: QuickLooks | None = None,
    extras: Collection[str] = (),
    make_fits: MakeFits | None = None,
    find_hashes: FindHashes | None = None,
    on_progress: Callable[[int, int], None] = lambda _done, _all: None,
    profile: Literal["0.5", "0.6"] = "0.5",
) -> Packed:
    """Pack a notebook, or a script as it ran, with the record of the calls that its results came from.

    Parameters
    ----------
    measure
        Measures a file; with its observer, if that is to be named.
    with_observer
        Name the observers, which are personal data.
    with_observed
        Ship what changed while calls ran and cannot be attributed to them, too.
    overwrite
        Replace an earlier crate at `out`; no other file is ever replaced.
    title
        Title of the crate; by default the first heading of the notebook, or its name.
    given
        People and rights that the user named; other sources add to them (:mod:`casaprov.credits.sources`).
    required
        Credits without which nothing is packed: ``author``, ``license``, ``publisher``.
    privacy
        The rules for secrets and names; by default a secret is refused, and home and host are left out.
    quick_looks
        Starts to draw small pictures of images, as JSON values, for the preview; None for no pictures.
    extras
        Files to add: ``codemeta``, ``reana``.
    make_fits
        Makes FITS copies of the final images; None for none.
    find_hashes
        Finds the hashes of the distributions that ran in an index; None if they are not to be pinned.
    on_progress
        Called with the bytes of inputs and products that are written, and of all that will be.
    profile
        Version of Workflow Run Crate that the description conforms to.

    Raises
    ------
    UsageError
        If there is no such notebook, `out` must not be replaced, or a required credit is not named anywhere.
    JournalError
        If nothing is recorded of it.
    RecordError
        If the record holds no call.
    SecretFound
        If a token or password would be published.
    """
    content = read_notebook(notebook)
    found = find_credits(notebook, content.metadata, given or Credits())
    missing = missing_credits(found)
    if lacking := [missing[name] for name in required if name in missing]:
        raise UsageError(" ".join(lacking), hint="Or leave out --require.")
    journal, recorded, folders = recorded_calls(notebook)
    document = without_lost_remains(_contributing(recorded, folders), folders)
    _check_target(out, notebook, document, folders, overwrite=overwrite)
    if not document.activities:
        raise RecordError(f"The record of {notebook} holds no task call.", hint="Run its cells, then export again.")
    files = PresentFiles(folders=folders, journal=journal, measure=measure)
    unfinished = UnfinishedCalls(recorded, folders, load_specs())
    document = with_present_states(document, files, recorded.entities, unfinished)
    document = with_links(document, read_links(journal))
    if with_observer:
        document = with_observers(document, files)
    if find_hashes is not None:
        document = with_file_hashes(document, find_hashes)
    tasks = {f"{spec.package}.{spec.task}" for spec in load_specs().values()}
    needed = needed_states(Lineage(document), tasks)
    items = choose_payload(
        document,
        folders,
        policy,
        measure=measure,
        needed=needed,
        kept=lambda digest: kept_state(journal, digest),
    )
    if with_observed:
        extra = observed_items(document, folders, policy, measure)
        document = replace(document, entities=(*document.entities, *(item.entity for item in extra)))
        items += extra
    drawn = _start_pictures(document, items, quick_looks)
    saved = _as_it_ran(notebook, journal, recorded)
    cells = cell_numbers(saved.data, document)
    relevant = relevance(lambda digest: tree_path(journal, digest))
    states = [session.environment.git for session in reversed(document.sessions) if session.environment.git]
    policies = privacy or PrivacyPolicy()
    with ExitStack() as stack:
        file = stack.enter_context(saved.file(notebook))
        copied: tuple[str, ...] = ()
        if make_fits is not None:
            into = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="casaprov-")))
            images, too_large = _images(document, items, folders, policy, measure)
            made = make_fits(document, images, into, journal)
            document, copied = made.document, (*too_large, *made.notes)
            items = limited((*items, *_fits_items(made)), policy, needed)
        clear, notes = stack.enter_context(cleared(document, file, journal, items, policies, measure))
        remarks = _remarks(Lineage(clear.document), cells, relevant)
        commits = [state.commit for state in states] if clear.notebook == file and not saved.note else []
        packed = pack(
            clear.document,
            notebook=clear.notebook,
            journal=clear.journal,
            items=clear.items,
            out=out,
            title=title or _heading(clear.notebook) or notebook.stem,
            credits=found,
            commit=commit_of(notebook, commits) if commits else "",
            repository=public_address(states[0].remote) if states else "",
            remarks=remarks,
            preview=partial(_page, saved=clear.notebook.read_bytes(), drawn=drawn, relevant=relevant),
            extras=partial(extra_files, wanted=extras),
            on_progress=on_progress,
            profile=profile,
        )
    shipped = {item.entity.id for item in items if item.decision == "shipped"}
    sentences = tuple(_sentences(outlook(Lineage(document), tasks, shipped)))
    notes = (*notes, *copied, *saved.note, *packed.notes, *remarks, *_clashes(document), *missing.values())
    return replace(packed, outlook=sentences, notes=notes)


def _heading(notebook: Path) -> str:
    """Return the first heading of a notebook or script, with its masks."""
    if is_script(notebook.name):
        return first_heading(as_notebook(decoded(notebook.read_bytes()))["cells"])
    return first_heading(read_notebook(notebook).cells)


@dataclass(frozen=True)
class _Saved:
    """The content of a notebook or script to be packed, and a sentence if it is not that of the file."""

    data: bytes
    note: tuple[str, ...] = ()

    @contextmanager
    def file(self, notebook: Path) -> Iterator[Path]:
        """Give the file with this content: that of the notebook, or a copy with the same name."""
        if not self.note:
            yield notebook
            return
        with tempfile.TemporaryDirectory(prefix="casaprov-") as folder:
            copy = Path(folder, notebook.name)
            copy.write_bytes(self.data)
            yield copy


def _as_it_ran(notebook: Path, journal: Path, recorded: Document) -> _Saved:
    """Return the content of a notebook as it is saved, or of a script as it ran last."""
    data, run = notebook.read_bytes(), recorded.sessions[-1].script
    if run is None or run.digest == digest_bytes(data):
        return _Saved(data)
    with suppress(OSError):
        ran = script_path(journal, run.digest).read_bytes()
        return _Saved(ran, (f"{notebook.name} was changed after it ran; the crate holds the text that ran.",))
    return _Saved(data)


def _start_pictures(
    document: Document, items: Iterable[PayloadItem], quick_looks: QuickLooks | None
) -> tuple[list[str], Looks | None]:
    """Start to draw the shipped images; return the ids of their Entities, and the pictures in the same order."""
    sources = {item.entity.id: item.source for item in items if item.source is not None}
    wanted = [entity.id for entity in shown_images(document) if entity.id in sources]
    if quick_looks is None or not wanted:
        return [], None
    return wanted, quick_looks([sources[entity] for entity in wanted])


def _images(
    document: Document,
    items: Iterable[PayloadItem],
    folders: Mapping[str, Path],
    policy: PayloadPolicy,
    measure: Measure[Measurement],
) -> tuple[dict[str, Path], tuple[str, ...]]:
    """Return the final images on disk that no call wrote as FITS, by id, and sentences about those that are too large."""
    sources = {item.entity.id: item.source for item in items if item.source is not None}
    exported = {use.entity for a in document.activities if a.task == "exportfits" and a.generated for use in a.used}
    found, too_large = {}, []
    for image in final_images(document):
        source = sources.get(image.id, folders[image.session] / image.path)
        with suppress(DigestError):  # it is gone or damaged
            if image.id in exported or measure(source, tier=image.tier).content_digest != image.content_digest:
                continue
            if image.size_bytes <= policy.max_item_bytes:
                found[image.id] = source
            else:
                limit = f"larger than the limit of {policy.max_item_bytes / 1e6:g} MB (--max-size)"
                too_large.append(f"{image.path} is not in the crate as FITS: it is {limit}.")
    return found, tuple(too_large)


def _fits_items(made: ImageFits) -> Iterator[PayloadItem]:
    """Yield the decisions to ship the FITS copies of images."""
    entities = {entity.id: entity for entity in made.document.entities}
    for name, source in made.files.items():
        reason, size = "FITS of an image, asked for", source.stat().st_size
        yield PayloadItem(entity=entities[name], decision="shipped", reason=reason, size_bytes=size, source=source)


def _page(
    document: Document,
    manifest: Manifest,
    *,
    saved: bytes,
    drawn: tuple[list[str], Looks | None],
    relevant: Relevant,
) -> str:
    """Return the preview of a crate."""
    remarks = notebook_notes(saved, document, manifest.notebook)
    notes = inspect_document(document, cell_numbers(saved, document), remarks=remarks, relevant=relevant).notes
    ids, pending = drawn
    looks: list[dict[str, Any] | None] = []
    if pending is not None:
        with suppress(CasaprovError):  # pictures are no reason to fail
            looks = pending.result()
    entities = {entity.id: entity for entity in document.entities}
    pictures = [
        Picture(entities[entity], QuickLook.from_json(look))
        for entity, look in zip(ids, looks, strict=False)
        if look is not None
    ]
    return preview(document, manifest, list(map(str, notes)), pictures)


def _clashes(document: Document) -> Iterator[str]:
    """Yield a sentence for each pair of names that a replay on another disk would mix up."""
    for one, other in clashes(dict.fromkeys(entity.path for entity in document.entities)):
        yield (
            f"{one} and {other} are one name on disks that do not tell capitals or accents apart (macOS, Windows): "
            "a replay there would mix them up."
        )


def _remarks(lineage: Lineage, cells: Mapping[str, int], relevant: Relevant) -> tuple[str, ...]:
    """Return sentences about results that the notebook, run from the top, would not give in the same way."""
    found = (*find_out_of_order(lineage, cells, relevant), *find_stale(lineage, cells, relevant=relevant))
    return tuple(f"{one}." for one in found)


def _sentences(found: Outlook) -> Iterator[str]:
    """Yield sentences about the calls that a replay of the crate can run."""
    yield f"{found.can_run} of {found.of} task calls can be replayed."
    if found.taken:
        paths = dict.fromkeys(state.path for state in found.taken)
        yield f"A replay takes these as they were, for no task can make them again: {', '.join(paths)}."
    for reason, calls in found.obstacles.items():
        more = f" and {len(calls) - _MOST_CALLS} more" if len(calls) > _MOST_CALLS else ""
        yield f"Not call {', '.join(calls[:_MOST_CALLS])}{more}: {reason}."


def crate_name(notebook: Path) -> Path:
    """Return the crate of a notebook if no other one is named: ``ngc5921.crate.zip`` beside it."""
    return notebook.with_suffix(".crate.zip")


def _check_target(
    out: Path, notebook: Path, document: Document, folders: Mapping[str, Path], *, overwrite: bool
) -> None:
    """Refuse to write a crate over the notebook, a file of the record, a file that is no crate, or an earlier crate."""
    hint = "Name another file with --output, one that ends in .zip."
    target = out.resolve()
    if target == notebook.resolve():
        raise UsageError(f"The crate cannot take the place of its notebook {notebook}.", hint=hint)
    for entity in document.entities:
        recorded = (folders[entity.session] / entity.path).resolve()
        if recorded in (target, *target.parents):
            raise UsageError(f"The crate cannot be written to {out}: {entity.path} is in the record.", hint=hint)
    if out.exists() and not (out.is_file() and _is_crate(out)):
        raise UsageError(f"{out} exists and is no crate; it is not replaced.", hint=hint)
    if out.exists() and not overwrite:
        raise UsageError(
            f"There is a crate {out} already.", hint="Replace it with --overwrite, or name another file with --output."
        )


def _is_crate(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.rpartition("/")[2] == METADATA for name in archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def find_journal(notebook: Path) -> Path:
    """Return the journal folder of a notebook or script, after copying the sessions into it that belong to it.

    Raises
    ------
    JournalError
        If nothing is recorded of the notebook.
    """
    notebook = place_of_record(notebook)
    adopt_sessions(notebook)
    named = journal_folder(notebook)
    if journals(named):
        return named
    for session in sorted(shown_sessions(notebook)):  # the sessions could not be copied
        if (found := find_session(notebook, session)) is not None:
            return found.parent
    raise JournalError(
        f"There is no record of {notebook} (no journal in {named}).",
        hint=(
            "Run it with 'casaprov run'."
            if notebook.suffix == ".py"
            else "Run it with '%load_ext casaprov' in its first cell, or with 'casaprov run'."
        ),
    )


def record_of(notebook: Path) -> Document:
    """Return the sessions that the products on disk came from, and the last one.

    Raises
    ------
    UsageError, JournalError
        If there is no such notebook or no record of it.
    """
    _, document, folders = recorded_calls(notebook)
    return _contributing(document, folders)


def recorded_calls(notebook: Path) -> tuple[Path, Document, dict[str, Path]]:
    """Return the journal of a notebook, its Document, and the present folder of each session.

    Raises
    ------
    UsageError, JournalError
        If there is no such notebook or no record of it.
    """
    read_notebook(notebook)
    journal = find_journal(notebook)
    document = read_document(journal, notebook.name)
    return journal, document, present_folders(journal, document)


def _contributing(document: Document, folders: Mapping[str, Path]) -> Document:
    lineage = Lineage(document)
    last = document.sessions[-1].id
    present = [e for e in lineage.products() if (folders[e.session] / e.path).exists()]
    used = [lineage.entities[u.entity] for a in document.activities if a.session == last for u in a.used]
    contributed = {lineage.activities[a].session for a in lineage.upstream([*present, *used])}
    return lineage.only(contributed | {last})
