"""The part of the OpenAPI document that FastAPI cannot write by itself: the short way's requests.

Each operation is described once, here, by its fields; the tests hold this against the operations
and against the running server.
"""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI

from botwire_server.openapi_operations import (
    ANY,
    COUNT,
    EXPIRY,
    FLAG,
    NAME,
    OPERATIONS,
    TEXT,
    VERSION,
    Schema,
    object_of,
)

__all__ = ["describe"]

PROBLEM = {"$ref": "#/components/schemas/Problem"}
PROBLEM_SCHEMA: Schema = {
    "type": "object",
    "description": "RFC 9457 problem details.",
    "required": ["type", "title", "status", "detail", "code", "retryable"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "retryable": FLAG,
        "hint": {"type": "string"},
    },
    "example": {
        "type": "https://botwire.dev/problems/BW-412-version",
        "title": "Version conflict",
        "status": 412,
        "detail": "'plan' is at version 9, but version 7 was expected",
        "code": "BW-412-version",
        "retryable": False,
        "hint": "Read it again and decide anew, or use update(key, fn), which does that for you.",
        "key": "plan",
        "expected": 7,
        "current_version": 9,
        "current_value": {"step": 2},
    },
}
PROBLEMS = {
    400: "Not HTTP.",
    401: "API key missing or unknown.",
    403: "The API key, or the name the server was called by, does not allow this.",
    404: "No such key or operation.",
    405: "Method not allowed.",
    409: "The stored value has another type.",
    412: "The key is at another version.",
    413: "The value or the request is too large.",
    415: "The body is not declared as JSON.",
    422: "An argument that cannot be right.",
    428: "This server takes conditional writes only.",
    429: "A quota is used up.",
    431: "Header fields too large.",
    503: "The store cannot be used now; nothing was changed.",
    504: "The body did not arrive in time.",
    507: "Storage is full; nothing was changed.",
}
IDEMPOTENCY: Schema = {
    "name": "Idempotency-Key",
    "in": "header",
    "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
    "description": "Repeating a request with the same key within 24 hours changes nothing twice.",
    "example": '"8e03978e-40d5-43e8-bc93-6894a57f9324"',
}
ETAGS: Schema = {"schema": {"type": "string"}, "example": '"7"'}


def _problems(*statuses: int) -> dict[str, Any]:
    return {
        str(status): {
            "description": PROBLEMS[status],
            "content": {"application/problem+json": {"schema": PROBLEM}},
        }
        for status in (*statuses, 400, 401, 403, 413, 422, 431, 503, 504, 507)
    }


def _json(schema: Schema, example: Any = None) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": schema}
    if example is not None:
        content["example"] = example
    return {"application/json": content}


def _operation(name: str) -> dict[str, Any]:
    summary, required, optional, example, reply, reply_example = OPERATIONS[name]
    properties = {"namespace": NAME, **required, **optional}
    schema = {
        "type": "object",
        "required": ["namespace", *required],
        "properties": properties,
        "additionalProperties": False,
    }
    return {
        "operationId": name,
        "summary": summary,
        "tags": ["operations"],
        "parameters": [IDEMPOTENCY],
        "requestBody": {
            "required": True,
            "content": _json(schema, {"namespace": "agent-1", **example}),
        },
        "responses": {
            "200": {"description": "Done.", "content": _json(reply, reply_example)},
            **_problems(404, 405, 409, 412, 415, 429),
        },
    }


def _parameter(name: str, place: str, description: str, schema: Schema) -> Schema:
    return {
        "name": name,
        "in": place,
        "required": place == "path",
        "schema": schema,
        "description": description,
    }


NAMESPACE = _parameter("namespace", "path", "Percent-encoded; '/' as %2F.", NAME)
ENTRY = _parameter("key", "path", "Percent-encoded; '/' may stand as it is.", NAME)
IF_MATCH = _parameter("If-Match", "header", "ETags; at one of them the write happens.", TEXT)
IF_NONE_MATCH = _parameter("If-None-Match", "header", "ETags, or * for anything.", TEXT)
STORED: Schema = {
    "type": "object",
    "required": ["namespace", "key", "value", "version"],
    "properties": {"namespace": NAME, "key": NAME, "value": ANY, "version": VERSION},
}
WRITTEN: Schema = {
    "type": "object",
    "required": ["namespace", "key", "version"],
    "properties": {"namespace": NAME, "key": NAME, "version": VERSION},
}
ENTRY_EXAMPLE = {"namespace": "agent-1", "key": "plan", "version": 7}


def _written(description: str) -> dict[str, Any]:
    content = _json(WRITTEN, ENTRY_EXAMPLE)
    return {"description": description, "headers": {"ETag": ETAGS}, "content": content}


def _entry_path() -> dict[str, Any]:
    return {
        "parameters": [NAMESPACE, ENTRY],
        "get": _get_entry(),
        "put": _put_entry(),
        "patch": _patch_entry(),
        "delete": _delete_entry(),
    }


WRITING = [IF_MATCH, IF_NONE_MATCH, IDEMPOTENCY]


def _get_entry() -> dict[str, Any]:
    found = {
        "description": "The entry.",
        "headers": {"ETag": ETAGS},
        "content": _json(STORED, {**ENTRY_EXAMPLE, "value": {"step": 1}}),
    }
    return {
        "operationId": "get_entry",
        "summary": "Read an entry",
        "tags": ["entries"],
        "parameters": [IF_NONE_MATCH],
        "responses": {
            "200": found,
            "304": {"description": "It is still at that version."},
            **_problems(404),
        },
    }


def _put_entry() -> dict[str, Any]:
    body = {
        "type": "object",
        "required": ["value"],
        "properties": {"value": ANY, **EXPIRY},
        "additionalProperties": False,
    }
    return {
        "operationId": "put_entry",
        "summary": "Write an entry",
        "tags": ["entries"],
        "parameters": WRITING,
        "requestBody": {
            "required": True,
            "content": _json(body, {"value": {"step": 1}, "ttl": 3600}),
        },
        "responses": {
            "200": _written("Written."),
            "201": _written("Created."),
            **_problems(412, 415, 428, 429),
        },
    }


def _patch_entry() -> dict[str, Any]:
    patch = {"schema": {"type": "object"}, "example": {"step": 2}}
    return {
        "operationId": "patch_entry",
        "summary": "Change members of an object (RFC 7396)",
        "tags": ["entries"],
        "parameters": WRITING,
        "requestBody": {"required": True, "content": {"application/merge-patch+json": patch}},
        "responses": {"200": _written("Changed."), **_problems(409, 412, 415, 428, 429)},
    }


def _delete_entry() -> dict[str, Any]:
    return {
        "operationId": "delete_entry",
        "summary": "Delete an entry",
        "tags": ["entries"],
        "parameters": WRITING,
        "responses": {
            "200": {"description": "Deleted.", "content": _json({"type": "object"})},
            **_problems(404, 412, 428, 429),
        },
    }


def _listing_path() -> dict[str, Any]:
    listed = object_of(
        namespace=NAME,
        count=COUNT,
        keys={
            "type": "array",
            "items": object_of(key=NAME, bytes=COUNT, updated_at={"type": "string"}),
        },
    )
    listed["properties"]["next_cursor"] = {"type": ["string", "null"]}
    moment = "2026-11-20T08:00:00+00:00"
    example = {
        "namespace": "agent-1",
        "count": 1,
        "keys": [{"key": "plan", "bytes": 10, "updated_at": moment}],
    }
    whole: Schema = {"type": "integer", "minimum": 1, "maximum": 1000}
    return {
        "parameters": [NAMESPACE],
        "get": {
            "operationId": "list_entries",
            "summary": "List the keys of a namespace",
            "tags": ["entries"],
            "parameters": [
                _parameter("prefix", "query", "Only keys that start with this.", TEXT),
                _parameter("cursor", "query", "Continue behind this key.", TEXT),
                _parameter("limit", "query", "Keys a page; without it all are listed.", whole),
            ],
            "responses": {
                "200": {"description": "The keys, in order.", "content": _json(listed, example)},
                **_problems(405),
            },
        },
    }


def describe(app: FastAPI, *, keys: bool) -> None:
    """Add the short way to the application's OpenAPI document."""
    write_document = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = write_document()
            document["paths"].update(_paths())
            parts: dict[str, Any] = document.setdefault("components", {})
            parts.setdefault("schemas", {})["Problem"] = PROBLEM_SCHEMA
            if keys:
                parts["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
                document["security"] = [{"key": []}]
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi


def _paths() -> Mapping[str, Any]:
    return {
        "/memory/{namespace}/{key}": _entry_path(),
        "/memory/{namespace}": _listing_path(),
        **{f"/v1/{name}": {"post": _operation(name)} for name in OPERATIONS},
    }
