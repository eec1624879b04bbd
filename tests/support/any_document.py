"""Any Document at all, as long as it agrees with itself: a hypothesis strategy."""

from __future__ import annotations

from typing import Any, get_args

from hypothesis import strategies as st

from casaprov.hashing import digest_bytes
from casaprov.records.model import (
    Activity,
    Agent,
    Document,
    Entity,
    Environment,
    Failure,
    Kind,
    Locator,
    Session,
    Usage,
)

_text = st.text(max_size=12)
_name = st.text(
    st.characters(blacklist_categories=("Cs", "Cc"), blacklist_characters="/\\"), min_size=1, max_size=8
).filter(lambda name: name not in (".", ".."))
_paths = st.builds(
    lambda top, parts: top + "/".join(parts), st.sampled_from(["", "/"]), st.lists(_name, min_size=1, max_size=3)
)
_plain = st.text(st.characters(blacklist_categories=("Cs", "Cc"), whitelist_characters="\t\r\n"), max_size=12)


def _json_of(text: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    return st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
        max_leaves=8,
    )


_json = _json_of(_text)
_parameters = st.dictionaries(_plain, _json_of(_plain), max_size=4)  # no task can be given control characters
_digests = st.binary(max_size=4).map(digest_bytes)
_kinds: st.SearchStrategy[Kind] = st.sampled_from(get_args(Kind))
_times = st.datetimes().map(lambda moment: moment.isoformat(timespec="microseconds").rjust(26, "0") + "+00:00")
_locators = st.builds(
    Locator, scheme=st.sampled_from(["casadata", "file", "https", "vo"]), value=st.text(min_size=1, max_size=9)
)


@st.composite
def documents(draw: st.DrawFn) -> Document:
    """Draw a Document that agrees with itself, with any text in it."""
    sessions = tuple(
        Session(
            id=f"s{number}",
            started_at=draw(_times),
            folder=draw(_name),
            environment=draw(
                st.builds(Environment, casatasks=_text, threads=st.dictionaries(_text, _text, max_size=2))
            ),
            casaprov=draw(_text),
            ended_at=draw(st.none() | _times),
            closed=draw(st.booleans()),
        )
        for number in range(draw(st.integers(1, 3)))
    )
    entities: list[Entity] = []
    activities: list[Activity] = []
    for number in range(draw(st.integers(1, 5))):
        activity_id = f"{draw(_name)}{number}"
        used = tuple(draw(st.lists(st.sampled_from(entities), max_size=2, unique=True))) if entities else ()
        inputs = [draw(_entities(f"i{number}.{n}", None, None)) for n in range(draw(st.integers(0, 2)))]
        changed = used[:1] if draw(st.booleans()) else ()
        made = [draw(_entities(f"c{number}", activity_id, entity)) for entity in changed]
        made += [draw(_entities(f"g{number}.{n}", activity_id, None)) for n in range(draw(st.integers(0, 2)))]
        parameters = draw(_parameters)
        activities.append(
            Activity(
                id=activity_id,
                session=draw(st.sampled_from(sessions)).id,
                task=draw(_name),
                package=draw(st.sampled_from(["casatasks", "mine"])),
                started_at="2026-05-01T10:00:00.000000+00:00",
                ended_at=draw(st.none() | st.just("2026-05-01T10:00:01.000000+00:00")),
                outcome=draw(st.sampled_from(["completed", "failed", "interrupted", "unfinished"])),
                cwd=".",
                parameters=parameters,
                given=tuple(draw(st.lists(st.sampled_from(sorted(parameters)), unique=True))) if parameters else (),
                used=tuple(Usage(entity=e.id, parameter=draw(st.none() | _text)) for e in (*used, *inputs)),
                generated=tuple(Usage(entity=e.id, parameter=draw(st.none() | _text)) for e in made),
                deleted=tuple(draw(st.lists(_paths, max_size=1))),
                returned=draw(_json),
                failure=draw(st.none() | st.builds(Failure, type=_text, message=_text)),
                problems=tuple(draw(st.lists(_text, max_size=2))),
            )
        )
        entities += inputs + made
    return Document(
        notebook=draw(st.text(min_size=1, max_size=9)),
        sessions=sessions,
        activities=tuple(activities),
        entities=tuple(entities),
        agents=(Agent(id="someone", type="Person", name=draw(_text)),) if draw(st.booleans()) else (),
    )


@st.composite
def _entities(draw: st.DrawFn, name: str, maker: str | None, before: Entity | None) -> Entity:
    return Entity(
        id=name,
        path=before.path if before else draw(_paths),
        kind=draw(_kinds),
        content_digest=draw(st.none() | _digests),
        size_bytes=draw(st.integers(0, 2**60)),
        byte_digest=draw(st.none() | _digests),
        generated_by=maker,
        revision_of=before.id if before else None,
        locators=tuple(draw(st.lists(_locators, max_size=2))),
        note=draw(_text),
    )
