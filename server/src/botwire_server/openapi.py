"""The part of the OpenAPI document that FastAPI cannot write by itself: the short way's requests.

Each operation is described once, here, by its fields; the tests hold this against the operations
and against the running server.
"""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI

__all__ = ["describe"]

Schema = dict[str, Any]

NAME: Schema = {"type": "string", "minLength": 1, "maxLength": 512}
ANY: Schema = {"description": "Any JSON value; it comes back as it was written."}
VERSION: Schema = {"type": "integer", "minimum": 0}
SECONDS: Schema = {
    "type": ["number", "null"],
    "exclusiveMinimum": 0,
    "description": "Seconds to live.",
}
FLAG: Schema = {"type": "boolean"}
TEXT: Schema = {"type": "string", "maxLength": 512}
OPTIONAL_VERSION: Schema = {
    "type": ["integer", "null"],
    "minimum": 0,
    "description": "Only if the key is at this version; 0: only if it does not exist.",
}
FACTS: Schema = {
    "type": "object",
    "required": ["key", "version", "bytes", "created_at", "updated_at"],
    "properties": {
        "key": {"type": "string"},
        "value": ANY,
        "version": VERSION,
        "bytes": {"type": "integer"},
        "created_at": {"type": "number", "description": "Seconds since 1970."},
        "updated_at": {"type": "number"},
        "ttl": {"type": ["number", "null"]},
        "expires_in": {"type": ["number", "null"]},
        "sliding": FLAG,
    },
}
FOUND: Schema = {
    "type": ["object", "null"],
    "properties": {"value": ANY, "version": VERSION},
    "description": "null: the key does not exist.",
}
KEYS: Schema = {"type": "array", "items": NAME}
COUNT: Schema = {"type": "integer", "minimum": 0}
EXPIRY = {"ttl": SECONDS, "sliding": FLAG}


def _object(**properties: Schema) -> Schema:
    return {"type": "object", "required": [*properties], "properties": properties}


# name: (summary, required fields, optional fields, example, reply, example of the reply)
Operations = dict[
    str, tuple[str, dict[str, Schema], dict[str, Schema], dict[str, Any], Schema, Any]
]
KEY = {"key": NAME}

OPERATIONS: Operations = {
    "get": (
        "Read a value", KEY, {}, {"key": "plan"}, FOUND, {"value": {"step": 1}, "version": 7},
    ),
    "read": (
        "Read a value with everything known about it", KEY, {}, {"key": "plan"},
        {**FACTS, "type": ["object", "null"]}, None,
    ),
    "head": (
        "What is known about a key", KEY, {}, {"key": "plan"},
        {**FACTS, "type": ["object", "null"]}, None,
    ),
    "exists": (
        "Whether a key exists", KEY, {}, {"key": "plan"}, _object(exists=FLAG), {"exists": True},
    ),
    "expect": (
        "Refuse a batch unless a key is at a version", {**KEY, "if_version": VERSION}, {},
        {"key": "plan", "if_version": 0}, _object(version=VERSION), {"version": 0},
    ),
    "tail": (
        "The newest items of a list", {**KEY, "count": COUNT}, {}, {"key": "log", "count": 2},
        _object(items={"type": "array"}, length=COUNT, version=VERSION),
        {"items": ["b", "c"], "length": 3, "version": 9},
    ),
    "length": (
        "How many items a list has", KEY, {}, {"key": "log"}, _object(length=COUNT), {"length": 3},
    ),
    "get_many": (
        "Read many values", {"keys": KEYS}, {}, {"keys": ["a", "b"]},
        _object(entries={"type": "array", "items": {"type": "object"}}),
        {"entries": [{"key": "a", "value": 1, "version": 3}]},
    ),
    "scan": (
        "A page of entries under a prefix, in code-point order", {},
        {
            "prefix": TEXT, "after": {**TEXT, "type": ["string", "null"]},
            "limit": {"type": "integer", "minimum": 1}, "reverse": FLAG, "values": FLAG,
            "newer_than": VERSION,
        },
        {"prefix": "user:", "limit": 100},
        _object(entries={"type": "array", "items": FACTS}, cursor={"type": ["string", "null"]}),
        {"entries": [], "cursor": None},
    ),
    "linked": (
        "A page of entries, and the entries that their values name in `links`", {},
        {
            "prefix": TEXT, "after": {**TEXT, "type": ["string", "null"]},
            "limit": {"type": "integer", "minimum": 1}, "reverse": FLAG,
        },
        {"prefix": "run:", "limit": 1, "reverse": True},
        _object(
            entries={"type": "array", "items": FACTS}, cursor={"type": ["string", "null"]},
            linked={"type": "array", "items": FACTS},
        ),
        {"entries": [], "cursor": None, "linked": []},
    ),
    "usage": (
        "What a namespace holds and may hold", {}, {}, {},
        _object(
            namespace=NAME, entries=COUNT, bytes=COUNT, version=VERSION, writes_today=COUNT,
            resets_in={"type": "number"}, writes_per_day={"type": ["integer", "null"]},
            namespace_bytes={"type": ["integer", "null"]}, value_bytes=COUNT,
        ),
        None,
    ),
    "set": (
        "Write a value", {**KEY, "value": ANY},
        {**EXPIRY, "if_version": OPTIONAL_VERSION, "keep_ttl": FLAG},
        {"key": "plan", "value": {"step": 1}, "ttl": 3600},
        _object(version=VERSION, created=FLAG), {"version": 7, "created": True},
    ),
    "delete": (
        "Delete a key", KEY, {"if_version": OPTIONAL_VERSION}, {"key": "plan"},
        _object(deleted=FLAG), {"deleted": True},
    ),
    "pop": ("Delete a key and return its value", KEY, {}, {"key": "plan"}, FOUND, None),
    "touch": (
        "Start a time to live anew", KEY, {"ttl": SECONDS}, {"key": "plan", "ttl": 60},
        _object(touched=FLAG), {"touched": True},
    ),
    "persist": (
        "Let a key live for ever", KEY, {}, {"key": "plan"}, _object(persisted=FLAG),
        {"persisted": True},
    ),
    "expire": (
        "Give everything under a prefix a time to live",
        {"prefix": TEXT, "ttl": {**SECONDS, "type": "number"}}, {}, {"prefix": "run:", "ttl": 60},
        _object(touched=COUNT), {"touched": 4},
    ),
    "increment": (
        "Add to a number", KEY, {"by": {"type": "number"}, "ttl": SECONDS},
        {"key": "runs", "by": 1},
        _object(value={"type": "number"}, version=VERSION), {"value": 5, "version": 8},
    ),
    "append": (
        "Add items to a list", {**KEY, "items": {"type": "array", "items": ANY}},
        {
            **EXPIRY, "if_version": OPTIONAL_VERSION,
            "max_items": {"type": ["integer", "null"], "minimum": 1},
        },
        {"key": "log", "items": ["c"], "max_items": 100},
        _object(length=COUNT, version=VERSION), {"length": 3, "version": 9},
    ),
    "merge": (
        "Change members of an object (RFC 7396)", {**KEY, "patch": ANY},
        {"ttl": SECONDS, "if_version": OPTIONAL_VERSION}, {"key": "plan", "patch": {"step": 2}},
        _object(version=VERSION), {"version": 10},
    ),
    "set_many": (
        "Write many values, all or none",
        {"values": {"type": "object", "additionalProperties": ANY}}, EXPIRY,
        {"values": {"a": 1, "b": [2]}},
        _object(versions={"type": "object", "additionalProperties": VERSION}),
        {"versions": {"a": 11, "b": 12}},
    ),
    "delete_many": (
        "Delete many keys", {"keys": KEYS}, {}, {"keys": ["a", "b"]}, _object(deleted=COUNT),
        {"deleted": 2},
    ),
    "clear": (
        "Delete everything under a prefix", {}, {"prefix": TEXT}, {"prefix": "run:"},
        _object(deleted=COUNT), {"deleted": 4},
    ),
    "batch": (
        "Several operations at one moment, all or none",
        {
            "operations": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["op"],
                    "properties": {"op": {"type": "string"}},
                },
            }
        },
        {}, {"operations": [{"op": "set", "key": "a", "value": 1}, {"op": "get", "key": "b"}]},
        _object(results={"type": "array"}),
        {"results": [{"version": 13, "created": True}, None]},
    ),
}  # fmt: skip

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
    body = _json(
        {
            "type": "object",
            "required": ["value"],
            "properties": {"value": ANY, **EXPIRY},
            "additionalProperties": False,
        },
        {"value": {"step": 1}, "ttl": 3600},
    )
    found = {
        "description": "The entry.",
        "headers": {"ETag": ETAGS},
        "content": _json(STORED, {**ENTRY_EXAMPLE, "value": {"step": 1}}),
    }
    writing = [IF_MATCH, IF_NONE_MATCH, IDEMPOTENCY]
    return {
        "parameters": [NAMESPACE, ENTRY],
        "get": {
            "operationId": "get_entry",
            "summary": "Read an entry",
            "tags": ["entries"],
            "parameters": [IF_NONE_MATCH],
            "responses": {
                "200": found,
                "304": {"description": "It is still at that version."},
                **_problems(404),
            },
        },
        "put": {
            "operationId": "put_entry",
            "summary": "Write an entry",
            "tags": ["entries"],
            "parameters": writing,
            "requestBody": {"required": True, "content": body},
            "responses": {
                "200": _written("Written."),
                "201": _written("Created."),
                **_problems(412, 415, 428, 429),
            },
        },
        "patch": {
            "operationId": "patch_entry",
            "summary": "Change members of an object (RFC 7396)",
            "tags": ["entries"],
            "parameters": writing,
            "requestBody": {
                "required": True,
                "content": {
                    "application/merge-patch+json": {
                        "schema": {"type": "object"},
                        "example": {"step": 2},
                    }
                },
            },
            "responses": {"200": _written("Changed."), **_problems(409, 412, 415, 428, 429)},
        },
        "delete": {
            "operationId": "delete_entry",
            "summary": "Delete an entry",
            "tags": ["entries"],
            "parameters": writing,
            "responses": {
                "200": {"description": "Deleted.", "content": _json({"type": "object"})},
                **_problems(404, 412, 428, 429),
            },
        },
    }


def _listing_path() -> dict[str, Any]:
    listed = _object(
        namespace=NAME,
        count=COUNT,
        keys={
            "type": "array",
            "items": _object(key=NAME, bytes=COUNT, updated_at={"type": "string"}),
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
