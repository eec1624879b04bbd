"""The routes for readers, harvesters and programs, as ``/openapi.json`` describes them."""

from __future__ import annotations

from typing import Any

__all__ = ["paths"]


def _path(name: str, pattern: str, example: str) -> dict[str, Any]:
    schema = {"type": "string", "pattern": pattern}
    return {"name": name, "in": "path", "required": True, "schema": schema, "example": example}


def _query(name: str, **schema: Any) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": {"type": "string", **schema}}


_CRATE = _path("crate", "^[A-Za-z0-9_+.]{1,20}-[0-9]{4,9}$", "N14C3-0001")
_VERSION = _path("version", "^[0-9]{1,9}$", "1")
_OBS_ID = _path("obs_id", "^[A-Za-z0-9_+.]{1,64}$", "N14C3")
_OWNER = _path("owner", "^[A-Za-z0-9_]{1,64}$", "EVN")
_FILE = _path("path", "^[A-Za-z0-9_./ -]{1,200}$", "ngc5921.ipynb")
_RANGE = {"name": "Range", "in": "header", "schema": {"type": "string", "pattern": "^bytes=[0-9]{0,9}-[0-9]{0,9}$"}}
_VERBS = ("Identify", "ListMetadataFormats", "ListSets", "ListIdentifiers", "ListRecords", "GetRecord")
_OAI = [
    _query("verb", enum=list(_VERBS)),
    _query("metadataPrefix", enum=["oai_dc", "oai_datacite"]),
    *(_query(name) for name in ("identifier", "from", "until", "resumptionToken")),
]
_WHY = {
    400: "An argument is missing, or is not what its type says.",
    404: "There is nothing public of this name.",
    410: "It was withdrawn; the reason is given.",
    416: "The file ends before the range begins.",
}


def paths() -> dict[str, Any]:
    """Return the operations by their paths."""
    version = "/crates/{crate}/v{version}"
    in_version = [_CRATE, _VERSION]
    attached = (404, 410)
    content = _routes("Content", "application/zip", *attached, 416, parameters=[*in_version, _RANGE], partly=True)
    notebook = _routes(
        "Notebook", "application/x-ipynb+json", *attached, 416, parameters=[*in_version, _RANGE], partly=True
    )
    return {
        "/crates/{crate}": _routes("Crate", "text/html", 404, parameters=[_CRATE], tombstone=True),
        version: _routes("Version", "text/html", 404, parameters=in_version, tombstone=True),
        f"{version}/crate.zip": content,
        f"{version}/notebook.ipynb": notebook,
        f"{version}/ro-crate-metadata.json": _routes(
            "Metadata", "application/ld+json", *attached, parameters=in_version
        ),
        f"{version}/report.json": _routes("Report", "application/json", *attached, parameters=in_version),
        f"{version}/datacite.json": _routes(
            "Datacite", "application/vnd.datacite.datacite+json", *attached, parameters=in_version
        ),
        f"{version}/linkset.json": _routes("Linkset", "application/linkset+json", *attached, parameters=in_version),
        f"{version}/files/{{path}}": _routes("Member", "*/*", *attached, parameters=[*in_version, _FILE]),
        "/api/v1/repos/{owner}/{obs_id}/contents": _routes(
            "Contents", "application/json", 404, parameters=[_OWNER, _OBS_ID]
        ),
        "/{owner}/{obs_id}/raw/branch/master/{path}": _routes(
            "Raw", "text/plain", 404, parameters=[_OWNER, _OBS_ID, _FILE]
        ),
        "/git/{obs_id}.git/{path}": _routes("Clone", "*/*", 404, parameters=[_OBS_ID, _FILE]),
        "/datalink": _routes("Datalink", "application/x-votable+xml", 400, 404, parameters=[_query("ID")]),
        "/crates.csv": _routes("Crates", "text/csv"),
        "/crate_inputs.csv": _routes("CrateInputs", "text/csv"),
        "/oai": {
            **_routes("Oai", "text/xml", parameters=_OAI),
            "post": {
                "operationId": "askOai",
                "requestBody": {
                    "content": {
                        "application/x-www-form-urlencoded": {
                            "schema": {
                                "type": "object",
                                "properties": {argument["name"]: argument["schema"] for argument in _OAI},
                            }
                        }
                    }
                },
                "responses": _responses("text/xml"),
            },
        },
        "/.well-known/jwks.json": _routes("Keys", "application/jwk-set+json"),
        "/archive.css": _routes("Style", "text/css"),
        "/favicon.ico": {"get": {"operationId": "getIcon", "responses": {"204": {"description": "There is none."}}}},
    }


def _routes(
    name: str,
    kind: str,
    *bad: int,
    parameters: list[dict[str, Any]] | None = None,
    partly: bool = False,
    tombstone: bool = False,
) -> dict[str, Any]:
    """Return GET and HEAD of a path."""
    responses = _responses(kind, *bad)
    if partly:
        responses["206"] = {"description": "A part of it.", "content": responses["200"]["content"]}
        responses["304"] = {"description": "The reader has it."}
    if tombstone:
        responses["410"] = {"description": "A page with the reason.", "content": {"text/html": {"schema": {}}}}
    more = {"parameters": parameters} if parameters else {}
    without = {status: {"description": answer["description"]} for status, answer in responses.items()}
    return {
        "get": {"operationId": f"get{name}", "responses": responses, **more},
        "head": {"operationId": f"head{name}", "responses": without, **more},
    }


def _responses(kind: str, *bad: int) -> dict[str, Any]:
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    good = {"description": "Here it is.", "content": {kind: {"schema": {}}}}
    return {"200": good, **{str(status): {"description": _WHY[status], "content": problem} for status in bad}}
