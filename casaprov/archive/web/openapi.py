"""``/openapi.json``: the routes as OpenAPI 3.1; those for depositors and the operator are described here."""

from __future__ import annotations

from typing import Any

from casaprov.archive.deposits import State
from casaprov.archive.settings import Settings
from casaprov.archive.web import openapi_readers
from casaprov.archive.web.archive import Archive
from casaprov.archive.web.handler import ArchiveHandler
from casaprov.version import __version__

__all__ = ["description", "routes"]

_ID = {"name": "id", "in": "path", "required": True, "schema": {"type": "string", "pattern": "^[0-9a-f]{1,64}$"}}
_TUS = {"name": "Tus-Resumable", "in": "header", "required": True, "schema": {"type": "string", "const": "1.0.0"}}
_REASONS = {
    400: "The body is incomplete, or not what its type says.",
    401: "There is no token, or it is not valid.",
    403: "The person may not do this.",
    404: "There is nothing here that the person may see.",
    405: "This address does not take this method.",
    409: "The state of the deposit, or the offset of the upload, is another one.",
    412: "The version of tus is another one.",
    413: "The body is larger than the archive takes.",
    415: "The body is of a type that this address does not take.",
    422: "A field has a value that it cannot have; `field` names it.",
    429: "The person's quota is exhausted.",
    460: "The piece does not have its checksum.",
    507: "The archive has no room.",
}
_FIELDS = {
    "file": {"type": "string", "contentMediaType": "application/octet-stream", "description": "Notebook or crate."},
    "crate": {"type": "string", "contentMediaType": "application/zip", "description": "The same as `file`."},
    "upload": {"type": "string", "description": "Id of a finished upload, instead of a file."},
    "obs_id": {"type": "string", "description": "The observation, such as `N14C3`."},
    "filename": {"type": "string", "description": "Name of the file; by default that of its part."},
    "description": {"type": "string"},
    "token": {"type": "string", "description": "The token, where the header cannot be set."},
    "license": {"type": "string", "description": "SPDX name."},
    "public_from": {"type": "string", "description": "Date or time, ISO 8601."},
    "new_version_of": {"type": "string", "description": "Name of a crate of the same owner."},
}


def description(settings: Settings) -> dict[str, Any]:
    """Return the description of an archive."""
    schemes: dict[str, Any] = {"bearer": {"type": "http", "scheme": "bearer"}}
    if settings.identity.issuer:
        discovery = f"{settings.identity.issuer.rstrip('/')}/.well-known/openid-configuration"
        schemes["oidc"] = {"type": "openIdConnect", "openIdConnectUrl": discovery}
    return {
        "openapi": "3.1.0",
        "info": {"title": settings.title, "version": __version__},
        "servers": [{"url": settings.url}],
        "paths": {
            "/": {"post": _deposit("takeForm"), "get": _page("showIndex"), "head": _page("headIndex")},
            "/api/deposits": {"post": _deposit("takeDeposit"), "get": _list()},
            "/api/deposits/{id}": {
                "get": _operation("showDeposit", {200: _RECEIPT}, 401, 404, parameters=[_ID]),
                "head": _operation("headDeposit", {200: None}, 401, 404, parameters=[_ID]),
            },
            "/api/deposits/{id}/withdraw": {
                "post": {
                    **_act("withdrawDeposit", 200, 400, 422),
                    "requestBody": {"required": True, "content": {"application/json": {"schema": _ref("Reason")}}},
                }
            },
            "/api/deposits/{id}/replay": {"post": _act("replayDeposit", 202)},
            "/api/deposits/{id}/accept": {"post": _act("acceptDeposit", 202)},
            "/api/uploads": {"options": _operation("tus", {204: None}), "post": _begin_upload()},
            "/api/uploads/{id}": _upload(),
            "/health": {"get": _operation("health", {200: {"type": "object", "required": ["status"]}})},
            "/metrics": {
                "get": {
                    "operationId": "metrics",
                    "responses": {"200": {"description": "For Prometheus.", "content": {"text/plain": {}}}},
                }
            },
            "/openapi.json": {"get": _operation("openapi", {200: {"type": "object"}})},
            **openapi_readers.paths(),
        },
        "components": {
            "securitySchemes": schemes,
            "schemas": {"Problem": _PROBLEM, "Receipt": _RECEIPT_SCHEMA, "Reason": _REASON},
        },
    }


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


_RECEIPT = _ref("Receipt")
_PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "field": {"type": "string"},
    },
}
_RECEIPT_SCHEMA = {
    "type": "object",
    "required": ["id", "state", "did", "version", "sha256"],
    "properties": {
        "id": {"type": "string"},
        "state": {"enum": [state.value for state in State]},
        "did": {"type": "string"},
        "version": {"type": "integer", "minimum": 1},
        "sha256": {"type": "string", "pattern": "^sha256:[0-9a-f]{64}$"},
    },
}
_REASON = {
    "type": "object",
    "required": ["reason"],
    "properties": {
        "reason": {
            "type": "string",
            "minLength": 1,
            "maxLength": 2000,
            "pattern": "^[^\\x00-\\x1f]*[^\\s\\x00-\\x1f][^\\x00-\\x1f]*$",
        }
    },
}


def _operation(
    name: str, good: dict[int, dict[str, Any] | None], *bad: int, parameters: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for status, schema in good.items():
        content = {"content": {"application/json": {"schema": schema}}} if schema is not None else {}
        responses[str(status)] = {"description": "Done.", **content}
    problem = {"application/problem+json": {"schema": _ref("Problem")}}
    for status in bad:
        responses[str(status)] = {"description": _REASONS[status], "content": problem}
    if 401 in bad:
        responses["401"]["headers"] = {"WWW-Authenticate": {"schema": {"type": "string"}, "required": True}}
    found: dict[str, Any] = {"operationId": name, "responses": responses}
    if parameters:
        found["parameters"] = parameters
    if 401 in bad:
        found["security"] = (
            [{"bearer": []}]
            if name not in ("showDeposit", "headDeposit", "takeForm", "takeDeposit")
            else [{"bearer": []}, {}]
        )
    return found


def _page(name: str) -> dict[str, Any]:
    page = {"description": "A page for readers.", "content": {"text/html": {"schema": {"type": "string"}}}}
    return {"operationId": name, "responses": {"200": page if name.startswith("show") else {"description": "Done."}}}


def _deposit(name: str) -> dict[str, Any]:
    operation = _operation(name, {202: _RECEIPT, 200: _RECEIPT}, 400, 401, 403, 404, 413, 415, 422, 429, 507)
    operation["responses"]["202"]["headers"] = {"Location": {"schema": {"type": "string"}, "required": True}}
    schema = {"type": "object", "required": ["obs_id"], "properties": _FIELDS}
    return {**operation, "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}


def _list() -> dict[str, Any]:
    parameters = [
        {"name": "state", "in": "query", "schema": {"enum": [state.value for state in State]}},
        {"name": "obs_id", "in": "query", "schema": {"type": "string"}},
    ]
    found = {
        "type": "object",
        "required": ["deposits"],
        "properties": {"deposits": {"type": "array", "items": _RECEIPT}},
    }
    return _operation("listDeposits", {200: found}, 401, 422, parameters=parameters)


def _act(name: str, status: int, *more: int) -> dict[str, Any]:
    return _operation(name, {status: _RECEIPT}, *sorted({401, 403, 404, 409, *more}), parameters=[_ID])


def _begin_upload() -> dict[str, Any]:
    length = {"name": "Upload-Length", "in": "header", "required": True, "schema": {"type": "integer", "minimum": 0}}
    metadata = {"name": "Upload-Metadata", "in": "header", "schema": {"type": "string"}}
    operation = _operation(
        "beginUpload", {201: None}, 400, 401, 412, 413, 429, 507, parameters=[_TUS, length, metadata]
    )
    operation["responses"]["201"]["headers"] = {"Location": {"schema": {"type": "string"}, "required": True}}
    return operation


def _upload() -> dict[str, Any]:
    offset = {"name": "Upload-Offset", "in": "header", "required": True, "schema": {"type": "integer", "minimum": 0}}
    checksum = {"name": "Upload-Checksum", "in": "header", "schema": {"type": "string"}}
    body = {"application/offset+octet-stream": {"schema": {"type": "string"}}}
    return {
        "head": _operation("headUpload", {200: None}, 401, 404, 412, parameters=[_ID, _TUS]),
        "patch": {
            **_operation(
                "continueUpload",
                {204: None},
                *(400, 401, 404, 409, 412, 413, 415, 460, 507),
                parameters=[_ID, _TUS, offset, checksum],
            ),
            "requestBody": {"required": True, "content": body},
        },
        "delete": _operation("endUpload", {204: None}, 401, 404, 409, 412, parameters=[_ID, _TUS]),
    }


class OpenApi(ArchiveHandler):
    """``GET /openapi.json``."""

    async def get(self) -> None:
        """Answer with the description."""
        self.write_json(description(self.archive.settings))

    head = get


def routes(archive: Archive) -> list[tuple[str, type[Any], dict[str, Any]]]:
    """Return the routes as tornado takes them."""
    return [(r"/openapi\.json", OpenApi, {"archive": archive})]
