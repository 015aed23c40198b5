"""The public paths `/memory/{namespace}/{key}` and `/memory/{namespace}`, for curl and old clients.

Conditions follow RFC 9110 section 13: the version is a strong ETag, `If-Match` compares strongly,
`If-None-Match` weakly. Keys in paths end up in logs and cannot be `.`, `..` or hold newlines
safely; the library therefore uses `/v1/` instead.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from botwire.errors import BotWireError, Conflict, InvalidRequest, NotFound
from botwire.jsontext import Json, decode_quickly, encode, members, quoted
from botwire.operations import Delete, Get, Head, Merge, Scan, Set
from botwire_server.answers import JSON, PRIVATE, Answer, json_answer
from botwire_server.requests import Request, path_text
from botwire_server.service import Service

__all__ = ["MethodNotAllowed", "serve_entry", "serve_listing"]

FIELDS = {"value", "ttl", "sliding"}
MERGE = "application/merge-patch+json"


class MethodNotAllowed(BotWireError):
    """The path exists, the method does not."""

    status, code, title = 405, "BW-405-method", "Method not allowed"


class ConditionRequired(BotWireError):
    """The server was told to take conditional writes only (RFC 6585)."""

    status, code, title = 428, "BW-428-condition", "Condition required"


async def serve_entry(service: Service, request: Request, namespace: str, key: str) -> Answer:
    """GET, HEAD, PUT, PATCH or DELETE of one entry."""
    method = request.method
    if method in ("GET", "HEAD"):
        return await _get(service, request, namespace, key)
    if method == "PUT":
        return await _put(service, request, namespace, key)
    if method == "DELETE":
        return await _delete(service, request, namespace, key)
    if method == "PATCH":
        return await _patch(service, request, namespace, key)
    raise MethodNotAllowed(
        f"{method} is not possible here", hint="GET, HEAD, PUT, PATCH and DELETE are."
    )


async def _get(service: Service, request: Request, namespace: str, key: str) -> Answer:
    reply = await service.run(Get(namespace, key), request)
    if reply is None:
        raise _missing(namespace, key)
    etag = b'"%d"' % reply["version"]
    wanted = request.headers.get(b"if-none-match")
    if wanted is not None and _matches(wanted, etag, weakly=True):
        return Answer(304, [(b"etag", etag), *PRIVATE], b"")
    body = (
        f'{{"namespace":{quoted(namespace)},"key":{quoted(key)},'
        f'"value":{reply["value"]},"version":{reply["version"]}}}'
    )
    return Answer(200, [JSON, (b"etag", etag), *PRIVATE], body.encode())


async def _put(service: Service, request: Request, namespace: str, key: str) -> Answer:
    given = members(await request.text())
    if "value" not in given or not given.keys() <= FIELDS:
        unknown = sorted(given.keys() - FIELDS)
        problem = (
            f"there is no field {unknown[0][:60]!r}" if unknown else "the field 'value' is missing"
        )
        raise InvalidRequest(
            problem, hint='Send {"value": ...}, with "ttl" and "sliding" if needed.'
        )
    operation = Set(
        namespace,
        key,
        given["value"],
        decode_quickly(given.get("ttl", Json("null"))),
        decode_quickly(given.get("sliding", Json("false"))),
        await _condition(service, request, namespace, key),
    )
    reply = await service.run(operation, request)
    body = f'{{"namespace":{quoted(namespace)},"key":{quoted(key)},"version":{reply["version"]}}}'
    etag = (b"etag", b'"%d"' % reply["version"])
    return Answer(201 if reply["created"] else 200, [JSON, etag, *PRIVATE], body.encode())


async def _patch(service: Service, request: Request, namespace: str, key: str) -> Answer:
    patch = members(await request.text(MERGE))
    text = Json("{" + ",".join(f"{encode(name)}:{part}" for name, part in patch.items()) + "}")
    condition = await _condition(service, request, namespace, key)
    operation = Merge(namespace, key, text, None, condition)
    version = (await service.run(operation, request))["version"]
    etag = (b"etag", b'"%d"' % version)
    return json_answer({"namespace": namespace, "key": key, "version": version}, headers=[etag])


async def _delete(service: Service, request: Request, namespace: str, key: str) -> Answer:
    condition = await _condition(service, request, namespace, key)
    reply = await service.run(Delete(namespace, key, condition), request)
    if not reply["deleted"]:
        raise _missing(namespace, key)
    return json_answer({"namespace": namespace, "key": key, "deleted": True})


def _missing(namespace: str, key: str) -> NotFound:
    return NotFound(
        f"there is no key {key!r} in {namespace!r}",
        hint=f"See which there are: GET /memory/{quote(namespace, safe='')}",
        key=key,
    )


async def _condition(service: Service, request: Request, namespace: str, key: str) -> int | None:
    """`If-Match` and `If-None-Match` as the one version the key must be at (0: none)."""
    match = request.headers.get(b"if-match")
    none = request.headers.get(b"if-none-match")
    if match is None and none is None:
        if service.settings.require_conditions:
            return await _unconditional(service, request, namespace, key)
        return None
    if none is not None and none.strip() == b"*" and match is None:
        return 0
    if match is not None and none is None and (version := _one_version(match)) is not None:
        return version
    return await _compare(service, request, namespace, key)


async def _unconditional(service: Service, request: Request, namespace: str, key: str) -> int:
    if await service.run(Head(namespace, key), request) is not None:
        raise ConditionRequired(
            f"{key!r} exists, and this server takes conditional writes only",
            hint="GET it, then send its ETag as If-Match.",
        )
    return 0


async def _compare(service: Service, request: Request, namespace: str, key: str) -> int:
    """Lists of tags and combinations: decided on the entry as it is now; the write pins it."""
    head = await service.run(Head(namespace, key), request)
    current = 0 if head is None else head["version"]
    etag = b'"%d"' % current
    match, none = request.headers.get(b"if-match"), request.headers.get(b"if-none-match")
    fits = match is None or (current > 0 and _matches(match, etag, weakly=False))
    if none is not None and current > 0 and _matches(none, etag, weakly=True):
        fits = False
    if not fits:
        raise Conflict(
            f"{key!r} is at version {current}, which the condition excludes",
            hint="GET it again and decide anew.",
            key=key,
            expected=(match or none or b"").decode("latin-1"),
            current_version=current,
        )
    return current


def _one_version(tags: bytes) -> int | None:
    text = tags.strip()
    if len(text) > 2 and text[:1] == text[-1:] == b'"' and text[1:-1].isdigit() and len(text) <= 20:
        return int(text[1:-1])
    return None


def _matches(tags: bytes, etag: bytes, *, weakly: bool) -> bool:
    for tag in tags.split(b","):
        tag = tag.strip()
        if tag in (b"*", etag) or (weakly and tag == b"W/" + etag):
            return True
    return False


async def serve_listing(service: Service, request: Request, namespace: str) -> Answer:
    """GET of all keys of a namespace, or of a page of them when there is a limit."""
    if request.method not in ("GET", "HEAD"):
        raise MethodNotAllowed(f"{request.method} is not possible here", hint="GET and HEAD are.")
    query = request.query("prefix", "cursor", "limit")
    limit = query.get("limit", "1000")
    if not (limit.isascii() and limit.isdigit() and len(limit) <= 18):
        raise InvalidRequest(f"limit must be a whole number, not {limit[:60]!r}")
    scan = Scan(
        namespace,
        query.get("prefix", ""),
        query.get("cursor"),
        min(int(limit), 10**6),
        values=False,
    )
    keys: list[Any] = []
    following: Scan | None = scan
    cursor: str | None = None
    while following is not None:
        page = await service.run(following, request)
        keys += await asyncio.to_thread(_listed, page["entries"])
        cursor = page["cursor"]
        following = following.after_cursor(cursor) if "limit" not in query else None
    answer: dict[str, Any] = {"namespace": namespace, "count": len(keys), "keys": keys}
    if "limit" not in query:
        return json_answer(answer)
    answer["next_cursor"] = cursor
    return json_answer(answer, headers=_next_link(request.path, query, cursor))


def _listed(entries: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "key": entry["key"],
            "bytes": entry["bytes"],
            "updated_at": datetime.fromtimestamp(entry["updated_at"], UTC).isoformat(),
        }
        for entry in entries
    ]


def _next_link(path: bytes, query: dict[str, str], cursor: str | None) -> list[tuple[bytes, bytes]]:
    if cursor is None:
        return []
    following = "&".join(
        f"{name}={quote(value, safe='')}" for name, value in {**query, "cursor": cursor}.items()
    )
    return [(b"link", b'<%s?%s>; rel="next"' % (path, following.encode()))]


def split_path(path: bytes) -> tuple[str, str]:
    """(namespace, key) of a path below /memory/; the key is empty for a listing."""
    namespace, _, key = path[len(b"/memory/") :].partition(b"/")
    return path_text(namespace), path_text(key)
