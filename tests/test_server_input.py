"""Whatever is sent to a server gets a 4xx problem that says why, never a 500, and it stands."""

import json
import socket
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from botwire import Memory
from botwire.testing import ServerProcess

JSON = {"content-type": "application/json"}
HUGE = "1" + "0" * 5000
MEGABYTE = b"x" * 1_000_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("server")
    with ServerProcess(f"sqlite:///{folder}/memory.db") as process:
        yield process


@pytest.fixture
def client(server: ServerProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=30) as client:
        yield client


@pytest.fixture(autouse=True)
def stands(server: ServerProcess) -> Iterator[None]:
    """After each test the server still answers, remembers, and met nothing unexpected."""
    before = len(server.log), unexpected(server)
    yield
    assert server.process.poll() is None
    with Memory("still here", url=server.url, timeout=5) as memory:
        memory.set("k", "v")
        assert memory.get("k") == "v"
    loud = [line for line in server.log[before[0] :] if line.get("level") not in ("info", "debug")]
    assert [line for line in loud if line["message"] != "Invalid HTTP request received."] == []
    assert unexpected(server) == before[1]


def unexpected(server: ServerProcess) -> str:
    page = httpx.get(f"{server.url}/metrics").text
    return page.partition("\nbotwire_unexpected_errors_total ")[2].partition("\n")[0]


def refused(answer: httpx.Response, *statuses: int) -> dict[str, Any]:
    """The problem of an answer that must be one."""
    assert 400 <= answer.status_code < 500, (answer.status_code, answer.text[:300])
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == answer.status_code
    assert problem["detail"]
    assert problem["code"].startswith(f"BW-{answer.status_code}")
    assert problem["title"]
    if statuses:
        assert answer.status_code in statuses, problem
    return problem


BODIES: dict[str, bytes] = {  # in the place of a body with a value
    "nothing": b"",
    "white space": b" \n",
    "no JSON": b"value=1",
    "half of it": b'{"value":',
    "two of them": b'{"value":1}{"value":2}',
    "a list": b"[1]",
    "null": b"null",
    "no value": b"{}",
    "an unknown field": b'{"value":1,"extra":2}',
    "NaN": b'{"value":NaN}',
    "infinity": b'{"value":[-Infinity]}',
    "a number too large": b'{"value":1e999}',
    "too deep": b'{"value":' + b"[" * 201 + b"]" * 201 + b"}",
    "far too deep": b'{"value":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "far too deep in objects": b'{"value":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}",
    "a million brackets": b"[" * 1_000_000,
    "invalid UTF-8": b'{"value":"\xff"}',
    "half a UTF-8 sequence": b'{"value":"\xe2\x82',
    "an encoded surrogate": b'{"value":"\xed\xa0\x80"}',
    "UTF-16": '{"value":1}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"value":1}',
    "a raw control character": b'{"value":"\x00"}',
    "a trailing comma": b'{"value":[1,]}',
    "a comment": b'{"value":1 /* one */}',
    "a ttl of text": b'{"value":1,"ttl":"5"}',
    "a ttl of 0": b'{"value":1,"ttl":0}',
    "a ttl below 0": b'{"value":1,"ttl":-1}',
    "a ttl of NaN": b'{"value":1,"ttl":NaN}',
    "a huge ttl": f'{{"value":1,"ttl":{HUGE}}}'.encode(),
    "a ttl of true": b'{"value":1,"ttl":true}',
    "sliding without ttl": b'{"value":1,"sliding":true}',
    "sliding of text": b'{"value":1,"ttl":5,"sliding":"yes"}',
    "an object for sliding": b'{"value":1,"ttl":5,"sliding":{}}',
    "a broken huge integer": f'{{"value":[{HUGE},]}}'.encode(),
    "a value that is too large": b'{"value":"' + b"x" * 10_000_000 + b'"}',
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_body_that_is_no_value_is_refused(client: httpx.Client, body: bytes) -> None:
    refused(client.put("/memory/n/k", content=body, headers=JSON))
    wrapped = body.strip()[1:-1] if body.startswith(b'{"value"') and body.endswith(b"}") else None
    sent = body if wrapped is None else b'{"namespace":"n","key":"k",' + wrapped + b"}"
    refused(client.post("/v1/set", content=sent, headers=JSON))
    assert client.get("/memory/n/k").status_code == 404


def test_the_largest_value_is_taken_and_one_byte_more_is_not(client: httpx.Client) -> None:
    with Memory("large", url=str(client.base_url)) as memory:
        memory.set("k", "x" * 9_999_998)
        assert memory.get("k") == "x" * 9_999_998
    problem = refused(
        client.put("/memory/large/k", json={"value": "x" * 9_999_999}),
        413,
    )
    assert problem["limit"] == 10_000_000


@pytest.mark.parametrize(
    "kind",
    [
        *("", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"),
        *("application/jsonp", "json", "application/json, text/plain", "\xff\xfe", "*/*"),
        "a/" + "x" * 5000,
    ],
    ids=range(10),
)
def test_a_body_that_is_not_declared_as_json_is_refused(client: httpx.Client, kind: str) -> None:
    headers = [(b"content-type", kind.encode("latin-1"))] if kind else []
    for method, path in (("PUT", "/memory/n/k"), ("PATCH", "/memory/n/k"), ("POST", "/v1/set")):
        request = client.build_request(method, path, content=b'{"value":1}', headers=headers)
        refused(client.send(request), 415)


PATHS = [
    *("/memory/", "/memory//", "/memory//k", "/memory/n/%00", "/memory/%00/k", "/memory/n/%ff"),
    *("/memory/%ff", "/memory/n/%ed%a0%80", "/memory/n/" + "x" * 513, "/memory/" + "x" * 513),
    *("/memory/n/" + "%F0%9F%A6%86" * 129, "/memory/n?limit=0", "/memory/n?limit=-1"),
    *("/memory/n?limit=1.5", f"/memory/n?limit={HUGE}", "/memory/n?limit=", "/memory/n?limit=x"),
    *("/memory/n?limit=%D9%A1", "/memory/n?prefix=%ff", "/memory/n?prefix=%00", "/memory/n?page=1"),
    *("/memory/n?prefix=" + "x" * 513, "/memory/n?cursor=" + "x" * 513, "/memory/n?cursor=%00"),
    *("/memory/n?" + "&".join(f"a{n}=1" for n in range(2000)), "/memory/n?limit=1&limit=x"),
    *(
        "/v1/",
        "/v1/nothing",
        "/v1/get",
        "/v1/GET",
        "/v1/get/",
        "/v1/%67et",
        "/v1",
        "/memory",
        "/v2/x",
    ),
    *("/nothing", "/.env", "/admin", "/memory/../etc/passwd", "//memory/n/k", "/v1/../metrics"),
]


@pytest.mark.parametrize("path", PATHS, ids=range(len(PATHS)))
def test_a_path_that_leads_nowhere_is_refused(server: ServerProcess, path: str) -> None:
    refused(raw(server, f"GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode()))


@pytest.mark.parametrize("method", ["POST", "OPTIONS", "TRACE", "LOCK", "PURGE", "QUERY", "get"])
@pytest.mark.parametrize("path", ["/memory/n/k", "/memory/n", "/v1/set", "/healthz", "/nothing"])
def test_a_method_that_does_not_fit_is_refused(
    server: ServerProcess, method: str, path: str
) -> None:
    if (method, path) == ("POST", "/v1/set"):
        method = "PUT"
    request = f"{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n"
    refused(raw(server, request.encode()), 400, 404, 405)


CONDITIONS = [
    *('"', '""', "1", "x", '"x"', 'W/"1"', '"1', "**", '"-1"', '"1.0"', '"١"', ",", '"1";"2"'),
    *(f'"{HUGE}"', '"99999999999999999999"', '"0"', '"' + "1," * 5000 + '"'),
]


@pytest.mark.parametrize("tag", CONDITIONS, ids=range(len(CONDITIONS)))
def test_a_condition_that_does_not_hold_is_refused(client: httpx.Client, tag: str) -> None:
    client.put("/memory/conditions/k", json={"value": "before"})
    header = [(b"if-match", tag.encode())]
    url = "/memory/conditions/k"
    refused(client.put(url, json={"value": "after"}, headers=header), 412, 422)
    refused(client.request("DELETE", url, headers=header), 412, 422)
    merge = {"content-type": "application/merge-patch+json", "if-match": tag.encode()}
    refused(client.patch(url, content=b'{"a":1}', headers=merge), 412, 422)  # type: ignore[arg-type]
    assert client.get(url, headers=[(b"if-none-match", tag.encode())]).status_code in (200, 304)
    assert client.get(url).json()["value"] == "before"


HEADERS: dict[str, list[tuple[bytes, bytes]]] = {
    "an idempotency key of any size": [(b"idempotency-key", b"x" * 5000)],
    "an idempotency key of any bytes": [(b"idempotency-key", b"\xff\xfe\x80")],
    "an empty idempotency key": [(b"idempotency-key", b"")],
    "an authorization that nobody asked for": [(b"authorization", b"Basic \xff")],
    "a range": [(b"range", b"bytes=0-1")],
    "a strange accept": [(b"accept", b"image/png;q=x"), (b"accept-encoding", b"\x80")],
    "a traceparent": [(b"traceparent", b"00-zz"), (b"tracestate", b"=" * 2000)],
    "a forwarded host": [(b"x-forwarded-for", b"evil"), (b"forwarded", b"for=_x")],
    "many cookies": [(b"cookie", b"a=b;" * 200)],
    "two hundred headers": [(f"x-{n}".encode(), b"y" * 50) for n in range(200)],
}


@pytest.mark.parametrize("headers", HEADERS.values(), ids=HEADERS)
def test_headers_that_mean_nothing_here_do_no_harm(
    client: httpx.Client, headers: list[tuple[bytes, bytes]]
) -> None:
    sent = [*headers, (b"content-type", b"application/json")]
    answer = client.put("/memory/headers/k", content=b'{"value":1}', headers=sent)
    assert answer.status_code in (200, 201, 422), answer.text
    answer = client.get("/memory/headers/k", headers=headers)
    assert answer.status_code in (200, 404)


OPERATIONS: dict[str, str] = {
    "a batch in a batch": '{"namespace":"n","operations":[{"op":"batch","operations":[]}]}',
    "a batch over two namespaces": (
        '{"namespace":"n","operations":[{"op":"get","namespace":"m","key":"k"}]}'
    ),
    "a batch that fails at its end": (
        '{"namespace":"n","operations":[{"op":"set","key":"k","value":1},'
        '{"op":"set","key":"k2","value":1,"if_version":7}]}'
    ),
    "a batch of nonsense": '{"namespace":"n","operations":[1,null,"get",[],{}]}',
    "a batch with a deep part": (
        '{"namespace":"n","operations":[' + "[" * 100_000 + "]" * 100_000 + "]}"
    ),
    "100,000 operations, the last wrong": (
        '{"namespace":"n","operations":['
        + '{"op":"exists","key":"k"},' * 100_000
        + '{"op":"exists","key":""}]}'
    ),
}


@pytest.mark.parametrize("body", OPERATIONS.values(), ids=OPERATIONS)
def test_a_batch_that_cannot_be_done_is_refused_whole(client: httpx.Client, body: str) -> None:
    refused(client.post("/v1/batch", content=body, headers=JSON))
    assert client.get("/memory/n/k").status_code == 404


def test_100_mb_are_refused_before_they_are_read(server: ServerProcess) -> None:
    for method, path in (("PUT", "/memory/n/k"), ("POST", "/v1/set"), ("POST", "/v1/batch")):
        head = (
            f"{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
            "content-length: 100000000\r\n\r\n"
        )
        refused(raw(server, head.encode() + b'{"value":"'), 413)


@pytest.mark.parametrize("chunked", [True, False])
def test_100_mb_that_are_sent_all_the_same_are_refused(
    server: ServerProcess, chunked: bool
) -> None:
    before = memory_of(server)
    how = "transfer-encoding: chunked" if chunked else "content-length: 100000000"
    head = (
        "PUT /memory/n/k HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        f"{how}\r\n\r\n"
    )
    with connected(server) as connection:
        connection.sendall(head.encode())
        part = b"%x\r\n%b\r\n" % (len(MEGABYTE), MEGABYTE) if chunked else MEGABYTE
        with suppress(OSError):  # it hangs up after its answer
            for _ in range(100):
                connection.sendall(part)
        refused(answer_on(connection), 413)
    assert memory_of(server) - before < 80_000_000


@pytest.mark.parametrize("path", ["/memory/n/k", "/v1/get", "/healthz", "/nothing"])
@pytest.mark.parametrize(
    "flood",
    ["x: " + "y" * 3_000_000, "\r\n".join(f"x-{n}: {n}" for n in range(200_000))],
    ids=["one header of 3 MB", "200,000 headers"],
)
def test_floods_of_headers_are_refused(server: ServerProcess, path: str, flood: str) -> None:
    before = memory_of(server)
    with connected(server) as connection:
        with suppress(OSError):
            connection.sendall(f"GET {path} HTTP/1.1\r\nhost: h\r\n{flood}\r\n\r\n".encode())
        refused(answer_on(connection), 400, 431)
    assert memory_of(server) - before < 40_000_000


def test_a_path_without_end_is_refused(server: ServerProcess) -> None:
    with connected(server) as connection:
        with suppress(OSError):
            connection.sendall(b"GET /memory/n/" + b"x" * 3_000_000 + b" HTTP/1.1\r\n\r\n")
        refused(answer_on(connection), 400, 414, 431)


NOT_HTTP: dict[str, bytes] = {
    "noise": bytes(range(256)) * 4,
    "a TLS greeting": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 500,
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "another protocol": b"SSH-2.0-OpenSSH_9.6\r\n",
    "a header without a colon": b"GET / HTTP/1.1\r\nhost localhost\r\n\r\n",
    "a space before the colon": b"GET / HTTP/1.1\r\nhost : localhost\r\n\r\n",
    "a NUL in a header": b"GET / HTTP/1.1\r\nhost: local\0host\r\n\r\n",
    "a length that is no number": b"PUT /memory/n/k HTTP/1.1\r\ncontent-length: x\r\n\r\n",
    "a length below 0": b"PUT /memory/n/k HTTP/1.1\r\nhost: h\r\ncontent-length: -1\r\n\r\n",
    "two lengths": (
        b"PUT /memory/n/k HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx"
    ),
    "a length and chunks": (
        b"PUT /memory/n/k HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /x HTTP/1.1\r\n\r\n"
    ),
    "a chunk that is none": (
        b"PUT /memory/n/k HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        b"transfer-encoding: chunked\r\n\r\nzz\r\n"
    ),
    "a chunk of endless size": (
        b"PUT /memory/n/k HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        b"transfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\n"
    ),
    "no path": b"GET  HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "a method without end": b"G" * 5000 + b" / HTTP/1.1\r\n\r\n",
}


@pytest.mark.parametrize("noise", NOT_HTTP.values(), ids=NOT_HTTP)
def test_what_is_not_http_is_refused(server: ServerProcess, noise: bytes) -> None:
    refused(raw(server, noise))


def connected(server: ServerProcess) -> socket.socket:
    parts = urlsplit(server.url)
    return socket.create_connection((parts.hostname, parts.port), timeout=20)


def raw(server: ServerProcess, request: bytes) -> httpx.Response:
    """The answer to these very bytes."""
    with connected(server) as connection:
        connection.sendall(request)
        return answer_on(connection)


def answer_on(connection: socket.socket) -> httpx.Response:
    answer = HTTPResponse(connection)
    answer.begin()
    return httpx.Response(answer.status, headers=answer.getheaders(), content=answer.read())


def memory_of(server: ServerProcess) -> int:
    """Bytes of memory the server holds now; 0 where the system does not say."""
    try:
        return int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1]) * 4096
    except OSError:
        return 0


def test_problems_are_json_for_every_reader(client: httpx.Client) -> None:
    for headers in ({"accept": "text/html"}, {"accept": "application/json"}, {}):
        answer = client.get("/memory/n/missing", headers=headers)
        assert json.loads(answer.content)["code"] == "BW-404-key"
