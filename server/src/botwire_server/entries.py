"""The public paths `/memory/{namespace}/{key}` and `/memory/{namespace}`, for curl and old clients.

Conditions follow RFC 9110 section 13: the version is a strong ETag, `If-Match` compares strongly,
`If-None-Match` weakly. Keys in paths end up in logs and cannot be `.`, `..` or hold newlines
safely; the library therefore uses `/v1/` instead.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from botwire.errors import BotWireError, Conflict, InvalidRequest, NotFound
from botwire.jsontext import Json, decode_quickly, encode, members, quoted
from botwire.operations import Delete, Get, Head, Merge, Scan, Set
from botwire_server.answers import JSON, PRIVATE, Answer, json_answer
from botwire_server.requests import Request, path_text
from botwire_server.steps import Steps, Taking

__all__ = ["MethodNotAllowed", "serve_entry", "serve_listing"]

FIELDS = {"value", "ttl", "sliding"}
MERGE = "application/merge-patch+json"


class MethodNotAllowed(BotWireError):
    """The path exists, the method does not."""

    status, code, title = 405, "BW-405-method", "Method not allowed"


class ConditionRequired(BotWireError):
    """The server was told to take conditional writes only (RFC 6585)."""

    status, code, title = 428, "BW-428-condition", "Condition required"


def serve_entry(request: Request, namespace: str, key: str, conditional: bool) -> Steps:
    """GET, HEAD, PUT, PATCH or DELETE of one entry.

    Args:
        conditional: writes to an entry that exists need If-Match.
    """
    method = request.method
    if method in ("GET", "HEAD"):
        return _get(request, namespace, key)
    if method == "PUT":
        return _put(request, namespace, key, conditional)
    if method == "DELETE":
        return _delete(request, namespace, key, conditional)
    if method == "PATCH":
        return _patch(request, namespace, key, conditional)
    raise MethodNotAllowed(
        f"{method} is not possible here", hint="GET, HEAD, PUT, PATCH and DELETE are."
    )


def _get(request: Request, namespace: str, key: str) -> Steps:
    reply = yield Get(namespace, key)
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


def _put(request: Request, namespace: str, key: str, conditional: bool) -> Steps:
    given = members((yield from request.text()))
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
        decode_quickly(given["ttl"]) if "ttl" in given else None,
        decode_quickly(given["sliding"]) if "sliding" in given else False,
        (yield from _condition(request, namespace, key, conditional)),
    )
    reply = yield operation
    body = f'{{"namespace":{quoted(namespace)},"key":{quoted(key)},"version":{reply["version"]}}}'
    etag = (b"etag", b'"%d"' % reply["version"])
    return Answer(201 if reply["created"] else 200, [JSON, etag, *PRIVATE], body.encode())


def _patch(request: Request, namespace: str, key: str, conditional: bool) -> Steps:
    patch = members((yield from request.text(MERGE)))
    text = Json("{" + ",".join(f"{encode(name)}:{part}" for name, part in patch.items()) + "}")
    condition = yield from _condition(request, namespace, key, conditional)
    operation = Merge(namespace, key, text, None, condition)
    version = (yield operation)["version"]
    etag = (b"etag", b'"%d"' % version)
    return json_answer({"namespace": namespace, "key": key, "version": version}, headers=[etag])


def _delete(request: Request, namespace: str, key: str, conditional: bool) -> Steps:
    condition = yield from _condition(request, namespace, key, conditional)
    reply = yield Delete(namespace, key, condition)
    if not reply["deleted"]:
        raise _missing(namespace, key)
    return json_answer({"namespace": namespace, "key": key, "deleted": True})


def _missing(namespace: str, key: str) -> NotFound:
    return NotFound(
        f"there is no key {key!r} in {namespace!r}",
        hint=f"See which there are: GET /memory/{quote(namespace, safe='')}",
        key=key,
    )


def _condition(request: Request, namespace: str, key: str, conditional: bool) -> Taking[int | None]:
    """`If-Match` and `If-None-Match` as the one version the key must be at (0: none)."""
    match = request.headers.get(b"if-match")
    none = request.headers.get(b"if-none-match")
    if match is None and none is None:
        return (yield from _unconditional(namespace, key)) if conditional else None
    if none is not None and none.strip() == b"*" and match is None:
        return 0
    if match is not None and none is None and (version := _one_version(match)) is not None:
        return version
    return (yield from _compare(request, namespace, key))


def _unconditional(namespace: str, key: str) -> Taking[int]:
    if (yield Head(namespace, key)) is not None:
        raise ConditionRequired(
            f"{key!r} exists, and this server takes conditional writes only",
            hint="GET it, then send its ETag as If-Match.",
        )
    return 0


def _compare(request: Request, namespace: str, key: str) -> Taking[int]:
    """Lists of tags and combinations: decided on the entry as it is now; the write pins it."""
    head = yield Head(namespace, key)
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


def serve_listing(request: Request, namespace: str) -> Steps:
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
    listed: list[str] = []
    following: Scan | None = scan
    cursor: str | None = None
    while following is not None:
        page = yield following
        listed += _listed(page["entries"])  # as text, page by page: others are served in between
        cursor = page["cursor"]
        following = following.after_cursor(cursor) if "limit" not in query else None
    keys = Json(f"[{','.join(listed)}]")
    answer: dict[str, Any] = {"namespace": namespace, "count": len(listed), "keys": keys}
    if "limit" not in query:
        return json_answer(answer)
    answer["next_cursor"] = cursor
    return json_answer(answer, headers=_next_link(request.path, query, cursor))


def _listed(entries: Sequence[dict[str, Any]]) -> list[str]:
    return [
        f'{{"key":{quoted(entry["key"])},"bytes":{entry["bytes"]},'
        f'"updated_at":"{datetime.fromtimestamp(entry["updated_at"], UTC).isoformat()}"}}'
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
