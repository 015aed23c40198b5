"""A request repeated with its idempotency key changes nothing twice."""

import httpx

from botwire.testing import ServerProcess


def test_an_increment_that_is_repeated_counts_once(client: httpx.Client) -> None:
    headers = {"idempotency-key": '"one"'}
    body = {"namespace": "once", "key": "n", "by": 5}
    first = client.post("/v1/increment", json=body, headers=headers)
    again = client.post("/v1/increment", json=body, headers=headers)
    assert first.json() == again.json()
    assert client.get("/memory/once/n").json()["value"] == 5


def test_the_key_outlives_a_crash_of_the_server(botwire_server: ServerProcess) -> None:
    headers = {"idempotency-key": '"crash"'}
    body = {"namespace": "once", "key": "log", "items": ["a"]}
    with httpx.Client(base_url=botwire_server.url) as client:
        first = client.post("/v1/append", json=body, headers=headers).json()
        botwire_server.kill()
        botwire_server.start()
    with httpx.Client(base_url=botwire_server.url) as client:
        assert client.post("/v1/append", json=body, headers=headers).json() == first
        assert client.get("/memory/once/log").json()["value"] == ["a"]


def test_one_key_for_two_different_requests_is_refused(client: httpx.Client) -> None:
    headers = {"idempotency-key": '"two"'}
    client.put("/memory/once/a", json={"value": 1}, headers=headers)
    other = client.put("/memory/once/a", json={"value": 2}, headers=headers)
    assert other.status_code == 422
    assert other.json()["code"] == "BW-422-idempotency"


def test_a_failed_request_may_be_repeated_with_its_key(client: httpx.Client) -> None:
    headers = {"idempotency-key": '"failed"', "if-match": '"1"'}
    assert client.put("/memory/retry/k", json={"value": 1}, headers=headers).status_code == 412
    client.put("/memory/retry/k", json={"value": 0})
    assert client.put("/memory/retry/k", json={"value": 1}, headers=headers).status_code == 200


def test_keys_of_two_namespaces_are_apart(client: httpx.Client) -> None:
    headers = {"idempotency-key": '"same"'}
    for namespace in ("ns1", "ns2"):
        body = {"namespace": namespace, "key": "n"}
        assert client.post("/v1/increment", json=body, headers=headers).json()["value"] == 1


def test_a_key_that_is_empty_or_too_long_is_refused_and_nothing_changes(
    client: httpx.Client,
) -> None:
    body = {"namespace": "once", "key": "bounds"}
    for key in ("", '""', "a" * 256):
        answer = client.post("/v1/increment", json=body, headers={"idempotency-key": key})
        assert answer.status_code == 422
        assert "idempotency key" in answer.json()["detail"]
    for key in ("a" * 255, "a" * 254 + "b"):
        client.post("/v1/increment", json=body, headers={"idempotency-key": key})
    assert client.get("/memory/once/bounds").json()["value"] == 2
