"""Each operation as OpenAPI shows it: its fields, an example, and what comes back.

The tests hold this against the operations themselves and try every example.
"""

from typing import Any

__all__ = [
    "ANY",
    "COUNT",
    "EXPIRY",
    "FLAG",
    "NAME",
    "OPERATIONS",
    "TEXT",
    "VERSION",
    "Schema",
    "object_of",
]

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


def object_of(**properties: Schema) -> Schema:
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
        "Whether a key exists", KEY, {}, {"key": "plan"}, object_of(exists=FLAG), {"exists": True},
    ),
    "expect": (
        "Refuse a batch unless a key is at a version", {**KEY, "if_version": VERSION}, {},
        {"key": "plan", "if_version": 0}, object_of(version=VERSION), {"version": 0},
    ),
    "tail": (
        "The newest items of a list", {**KEY, "count": COUNT}, {}, {"key": "log", "count": 2},
        object_of(items={"type": "array"}, length=COUNT, version=VERSION),
        {"items": ["b", "c"], "length": 3, "version": 9},
    ),
    "length": (
        "How many items a list has", KEY, {}, {"key": "log"}, object_of(length=COUNT),
        {"length": 3},
    ),
    "get_many": (
        "Read many values", {"keys": KEYS}, {}, {"keys": ["a", "b"]},
        object_of(entries={"type": "array", "items": {"type": "object"}}),
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
        object_of(entries={"type": "array", "items": FACTS}, cursor={"type": ["string", "null"]}),
        {"entries": [], "cursor": None},
    ),
    "linked": (
        "A page of entries, and the entries that their values name in `links`", {},
        {
            "prefix": TEXT, "after": {**TEXT, "type": ["string", "null"]},
            "limit": {"type": "integer", "minimum": 1}, "reverse": FLAG,
        },
        {"prefix": "run:", "limit": 1, "reverse": True},
        object_of(
            entries={"type": "array", "items": FACTS}, cursor={"type": ["string", "null"]},
            linked={"type": "array", "items": FACTS},
        ),
        {"entries": [], "cursor": None, "linked": []},
    ),
    "usage": (
        "What a namespace holds and may hold", {}, {}, {},
        object_of(
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
        object_of(version=VERSION, created=FLAG), {"version": 7, "created": True},
    ),
    "delete": (
        "Delete a key", KEY, {"if_version": OPTIONAL_VERSION}, {"key": "plan"},
        object_of(deleted=FLAG), {"deleted": True},
    ),
    "pop": ("Delete a key and return its value", KEY, {}, {"key": "plan"}, FOUND, None),
    "touch": (
        "Start a time to live anew", KEY, {"ttl": SECONDS}, {"key": "plan", "ttl": 60},
        object_of(touched=FLAG), {"touched": True},
    ),
    "persist": (
        "Let a key live for ever", KEY, {}, {"key": "plan"}, object_of(persisted=FLAG),
        {"persisted": True},
    ),
    "expire": (
        "Give everything under a prefix a time to live",
        {"prefix": TEXT, "ttl": {**SECONDS, "type": "number"}}, {}, {"prefix": "run:", "ttl": 60},
        object_of(touched=COUNT), {"touched": 4},
    ),
    "increment": (
        "Add to a number", KEY, {"by": {"type": "number"}, "ttl": SECONDS},
        {"key": "runs", "by": 1},
        object_of(value={"type": "number"}, version=VERSION), {"value": 5, "version": 8},
    ),
    "append": (
        "Add items to a list", {**KEY, "items": {"type": "array", "items": ANY}},
        {
            **EXPIRY, "if_version": OPTIONAL_VERSION,
            "max_items": {"type": ["integer", "null"], "minimum": 1},
        },
        {"key": "log", "items": ["c"], "max_items": 100},
        object_of(length=COUNT, version=VERSION), {"length": 3, "version": 9},
    ),
    "merge": (
        "Change members of an object (RFC 7396)", {**KEY, "patch": ANY},
        {"ttl": SECONDS, "if_version": OPTIONAL_VERSION}, {"key": "plan", "patch": {"step": 2}},
        object_of(version=VERSION), {"version": 10},
    ),
    "set_many": (
        "Write many values, all or none",
        {"values": {"type": "object", "additionalProperties": ANY}}, EXPIRY,
        {"values": {"a": 1, "b": [2]}},
        object_of(versions={"type": "object", "additionalProperties": VERSION}),
        {"versions": {"a": 11, "b": 12}},
    ),
    "delete_many": (
        "Delete many keys", {"keys": KEYS}, {}, {"keys": ["a", "b"]}, object_of(deleted=COUNT),
        {"deleted": 2},
    ),
    "clear": (
        "Delete everything under a prefix", {}, {"prefix": TEXT}, {"prefix": "run:"},
        object_of(deleted=COUNT), {"deleted": 4},
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
        object_of(results={"type": "array"}),
        {"results": [{"version": 13, "created": True}, None]},
    ),
}  # fmt: skip
