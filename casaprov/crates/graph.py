"""A Document as the JSON-LD entities of a Provenance Run Crate. Pure: values in, values out.

Since the description is derived from the records and from nothing else, it
can be derived again when a crate is opened, to see whether either was edited.

Profile: Provenance Run Crate 0.5 or 0.6, https://w3id.org/ro/wfrun/provenance/0.5,
on RO-Crate 1.1 or 1.3. Its validators insist on more than the specification says:
times without fractions of a second, ``actionStatus`` as a plain string, no
arrays of one element, and a local ``#id`` for data that is not in the crate.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

from casaprov import terms
from casaprov.crates.actions import Calls, engine_nodes, last_time, run_nodes
from casaprov.crates.entities import collection_nodes, data_nodes, entity_ids, file_node
from casaprov.crates.layout import (
    DOCUMENT,
    ENVIRONMENT,
    MANIFEST,
    METADATA,
    README,
    SCRIPTS,
    TREES,
    CrateFile,
    Manifest,
    script_digests,
    script_name,
)
from casaprov.crates.nodes import Node, clean, iri, local, ref, time
from casaprov.credits.nodes import organization_node, person_nodes
from casaprov.lineage.observed import observed_inputs
from casaprov.observations.jsonld import archive_id, archive_nodes, looked_up, observation_id, observation_nodes
from casaprov.observations.summary import coverage, keywords
from casaprov.records.model import Agent, Document, Entity, Environment

__all__ = ["crate_graph"]

_ABOUT: dict[str, Node] = {
    README: {"about": {"@id": "./"}, "description": "What this crate holds and how to replay it."},
    DOCUMENT: {"description": "The provenance records that this description is derived from."},
    MANIFEST: {"description": "What is in this crate, and why the rest is not."},
    ENVIRONMENT: {
        "description": "The Python, and all its distributions, that the calls ran with; repo2docker and conda build it.",
        "conformsTo": {"@id": terms.CONDA_ENVIRONMENT},
        "encodingFormat": "application/yaml",
    },
    ".binder/apt.txt": {"description": "Debian packages that the calls needed beside them."},
    "codemeta.json": {"description": "The notebook as software, by CodeMeta 3.0."},
    "reana.yaml": {"description": "How REANA runs the notebook.", "encodingFormat": "application/yaml"},
}

_CONDA: Node = {"@id": terms.CONDA_ENVIRONMENT, "@type": "WebPageElement", "name": "Conda environment file"}


def crate_graph(document: Document, manifest: Manifest, files: Iterable[CrateFile]) -> list[Node]:
    """Describe a crate.

    Parameters
    ----------
    document
        The records; consistent (:func:`casaprov.records.consistency.record_issues`).
    manifest
        The list of what the crate holds beside them.
    files
        The files that stand alone in the crate (not inside one of its
        directories), without ``ro-crate-metadata.json``.

    Returns
    -------
    list of dict
        The entities of ``@graph``, with the descriptor and the root first.
    """
    known = {file.path: file for file in files}
    ids = entity_ids(document, manifest)
    agents = _agents(document, manifest)
    authors = [node for person in manifest.credits.authors for node in person_nodes(person)]
    people = [ref(_agent_id(agent)) for agent in agents if agent.type == "Person"]
    people += [ref(node["@id"]) for node in authors if node["@type"] == "Person"]
    calls = Calls(
        document,
        ids,
        frozenset(known),
        people,
        first_format=manifest.is_first_format,
        connections=manifest.connections,
    )
    observed = observed_inputs(document)
    collections = list(collection_nodes(document, ids))
    old = manifest.is_first_format
    runs = list(run_nodes(document, manifest.notebook, ids, calls.controls, people, first_format=old))
    nodes = [
        _notebook(document, manifest, known, calls),
        *_own_files(document, manifest, known),
        *data_nodes(document, manifest, known, ids, calls.examples),
        *(node for e in observed for node in _observation_nodes(e)),
        *(node for e in document.entities for node in archive_nodes(e.identifiers)),
        *collections,
        *calls.nodes(),
        *runs,
        *engine_nodes(document),
        *map(_agent, agents),
        *authors,
        *_credit_nodes(manifest),
        *_languages(manifest),
        *([_CONDA] if ENVIRONMENT in manifest.extras else []),
    ]
    actions = [n for n in (*runs, *calls.nodes()) if n["@type"] in ("CreateAction", "OrganizeAction")]
    root = {
        **_root(document, manifest),
        **_credits(manifest, observed),
        **{key: stated for key, stated in _observed(observed, document).items() if key != "keywords"},
        "hasPart": [ref(n["@id"]) for n in nodes if _is_part(n)],
        "mentions": [ref(n["@id"]) for n in (*actions, *collections)],
    }
    unique = {n["@id"]: n for n in (_descriptor(manifest), root, *_profiles(manifest), _license(manifest), *nodes)}
    found = unique.values() if manifest.profile == "0.5" else _newer(unique.values(), document)
    return [clean(node) for node in found]


def _newer(nodes: Iterable[Node], document: Document) -> Iterable[Node]:
    """Yield entities with what RO-Crate requires since 1.2: profiles as Profile, and a version of all software."""
    run = document.last_run
    environment = run.environment if run is not None else Environment()
    packages = (environment.packages.get(name, "") for name in ("jupyterlab", "notebook", "ipykernel"))
    known = {"#jupyter": next(filter(None, packages), ""), terms.PROGRAMMING_LANGUAGE: environment.python}
    for node in nodes:
        if node["@id"] in terms.CONFORMANCES["0.6"].profiles:
            yield {**node, "@type": ["CreativeWork", "Profile"]}
        elif node["@type"] in ("SoftwareApplication", "ComputerLanguage"):
            yield {**node, "version": node.get("softwareVersion") or known.get(node["@id"]) or "unknown"}
        else:
            yield node


def _descriptor(manifest: Manifest) -> Node:
    return {
        "@id": METADATA,
        "@type": "CreativeWork",
        "about": ref("./"),
        "conformsTo": [ref(profile) for profile in manifest.conformance.descriptor_profiles],
    }


def _root(document: Document, manifest: Manifest) -> Node:
    what = "script" if manifest.is_script else "notebook"
    content = f"{len(document.activities)} recorded task calls of the {what} {manifest.notebook}"
    return {
        "@id": "./",
        "@type": "Dataset",
        "name": manifest.title,
        "description": f"{content}, with what they read and made, to be replayed with 'casaprov replay'.",
        "datePublished": time(last_time(document)),
        "license": ref(_license(manifest)["@id"]),
        "author": [
            *(ref(_agent_id(author)) for author in manifest.authors),
            *(ref(person_nodes(person)[0]["@id"]) for person in manifest.credits.authors),
        ],
        "conformsTo": [ref(profile) for profile in manifest.conformance.profiles],
        "mainEntity": ref(iri(manifest.notebook)),
    }


def _observation_nodes(entity: Entity) -> Iterable[Node]:
    search = looked_up(entity.identifiers, entity.archive_queries)
    return observation_nodes(entity.id, entity.path, entity.observations, search)


def _observed(observed: Iterable[Entity], document: Document) -> Node:
    """Return the statements of the root about the observations of all inputs."""
    rows = [row for entity in observed for row in entity.observations]
    ids = [observation_id(entity.id, n) for entity in observed for n in range(1, len(entity.observations) + 1)]
    ids += [archive_id(identifier) for entity in document.entities for identifier in entity.identifiers]
    return {"keywords": keywords(rows), "temporalCoverage": coverage(rows), "isBasedOn": [ref(name) for name in ids]}


def _profiles(manifest: Manifest) -> Iterable[Node]:
    for profile, (name, version) in manifest.conformance.profiles.items():
        yield {"@id": profile, "@type": "CreativeWork", "name": name, "version": version}


def _license(manifest: Manifest) -> Node:
    name = manifest.stated_license
    if not name:
        text = "The author of this crate stated no licence. Ask before you use it for more than reading."
        return {"@id": "#no-license", "@type": "CreativeWork", "name": "No licence stated", "description": text}
    url = name if name.startswith(("https://", "http://")) else f"https://spdx.org/licenses/{quote(name)}"
    return {"@id": url, "@type": "CreativeWork", "name": name, "description": f"Licence of this crate: {name}"}


def _notebook(document: Document, manifest: Manifest, files: dict[str, CrateFile], calls: Calls) -> Node:
    file = file_node(manifest.notebook, files)
    if manifest.is_first_format:
        git = next((s.environment.git for s in reversed(document.sessions) if s.environment.git), None)
        # The commit was meant to identify the notebook if the repository had no changes that were not committed.
        commit, url = (git.commit if not git.dirty else "", git.remote) if git else ("", "")
    else:
        commit, url = manifest.commit, manifest.repository
    return {
        **file,
        "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"],
        "encodingFormat": terms.PYTHON_MEDIA_TYPE if manifest.is_script else terms.MEDIA_TYPES[".ipynb"],
        "conformsTo": ref(terms.WORKFLOW_PROFILE),
        "programmingLanguage": [ref(language["@id"]) for language in _languages(manifest)],
        "buildInstructions": ref(ENVIRONMENT) if ENVIRONMENT in manifest.extras else None,
        "version": commit or f"sha256:{file['sha256']}",
        "url": url,
        "hasPart": [ref(tool) for tool in calls.tools],
        "step": [ref(step) for step in calls.steps.values()],
    }


def _own_files(document: Document, manifest: Manifest, files: dict[str, CrateFile]) -> Iterable[Node]:
    shipped = {item.path for item in manifest.items}
    yield from _scripts(document, files)
    for path in files:
        if path.startswith(SCRIPTS):
            continue
        if path not in shipped and path != manifest.notebook:
            yield {**file_node(path, files), **_ABOUT.get(path, {})}
    if any(file.path.startswith(TREES) for file in manifest.files):
        text = "Digests and sketches of every column and image, for comparing a replay with."
        yield {"@id": TREES, "@type": "Dataset", "name": "Digest trees", "description": text}


def _scripts(document: Document, files: dict[str, CrateFile]) -> Iterable[Node]:
    """Describe the Python files that calls came from."""
    steps = [activity.step for activity in document.activities if activity.step is not None]
    names = {line.digest: line.path for step in steps for line in step.scripts}
    for digest in script_digests(document):
        if (path := script_name(digest)) in files:
            yield {
                **file_node(path, files),
                "@type": ["File", "SoftwareSourceCode"],
                "name": names[digest],
                "description": "A Python file that calls came from, as it ran.",
                "encodingFormat": terms.PYTHON_MEDIA_TYPE,
                "programmingLanguage": ref(terms.PROGRAMMING_LANGUAGE),
            }


def _is_part(node: Node) -> bool:
    types = node["@type"] if isinstance(node["@type"], list) else [node["@type"]]
    return not node["@id"].startswith("#") and not {"File", "Dataset"}.isdisjoint(types)


def _agent_id(agent: Agent) -> str:
    return local("person" if agent.type == "Person" else "software", agent.id)


def _agent(agent: Agent) -> Node:
    url = agent.url or (terms.CASAPROV if agent.name == "casaprov" else "")
    node = {"@id": _agent_id(agent), "name": agent.name, "url": url}
    if agent.type == "Person":
        return {**node, "@type": "Person"}
    return {**node, "@type": "SoftwareApplication", "softwareVersion": agent.version}


def _agents(document: Document, manifest: Manifest) -> list[Agent]:
    """Return the agents to describe; the software is described by the tools, but for the first format."""
    agents = {agent.id: agent for agent in (*document.agents, *manifest.authors)}
    return [agent for agent in agents.values() if manifest.is_first_format or agent.type == "Person"]


def _credits(manifest: Manifest, observed: Iterable[Entity]) -> Node:
    """Return the statements of the root about rights and credits."""
    found = keywords([row for entity in observed for row in entity.observations])
    if manifest.is_first_format:
        return {"keywords": found}
    given = manifest.credits
    stated: Node = {
        "publisher": ref(organization_node(given.publisher)["@id"]) if given.publisher else None,
        "keywords": [*given.keywords, *(word for word in found if word not in given.keywords)],
        "funder": [ref(organization_node(funder)["@id"]) for funder in given.funders],
        "citation": [ref(url) for url in (terms.CASA_PAPER, *given.citations)],
        "conditionsOfAccess": given.conditions_of_access,
    }
    return {**stated, "description": given.description} if given.description else stated


def _credit_nodes(manifest: Manifest) -> Iterable[Node]:
    if manifest.is_first_format:
        return
    given = manifest.credits
    yield from map(organization_node, (*([given.publisher] if given.publisher else []), *given.funders))
    yield {"@id": terms.CASA_PAPER, "@type": "ScholarlyArticle", "name": terms.CASA_PAPER_TITLE}
    for url in given.citations:
        if url != terms.CASA_PAPER:
            yield {"@id": url, "@type": "CreativeWork", "name": url}


def _languages(manifest: Manifest) -> Iterable[Node]:
    if not manifest.is_first_format and not manifest.is_script:
        # WorkflowHub recognises a language by these members.
        jupyter = {"name": "Jupyter Notebook", "alternateName": "Jupyter", "identifier": ref(terms.JUPYTER)}
        yield {"@id": "#jupyter", "@type": "ComputerLanguage", **jupyter, "url": terms.JUPYTER}
    python = terms.PROGRAMMING_LANGUAGE
    yield {"@id": python, "@type": "ComputerLanguage", "name": "Python", "url": python}
