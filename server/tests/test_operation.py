"""What the operator sees: health, metrics, logs, and a stop that loses nothing."""

import dataclasses
import json
import socket
import threading
from pathlib import Path

import httpx
import pytest

from botwire.errors import BotWireError, InvalidRequest
from botwire.operations import OPERATIONS
from botwire.testing import ServerProcess
from botwire_server.serve import serve
from botwire_server.settings import Settings


def test_the_server_tells_that_it_lives_and_can_work(client: httpx.Client) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json() == {"status": "ready"}
    assert client.get("/").json()["name"] == "botwire"
    for response in (client.get("/nothing"), client.post("/healthz"), client.get("/memory")):
        assert response.status_code in (404, 405)
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json()["code"].startswith(f"BW-{response.status_code}")


def test_metrics_count_requests_without_naming_namespaces_or_keys(client: httpx.Client) -> None:
    client.put("/memory/canary-namespace/canary-key", json={"value": "canary-value"})
    client.post("/v1/get", json={"namespace": "canary-namespace", "key": "canary-key"})
    page = client.get("/metrics")
    assert page.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert 'botwire_requests_total{operation="get",status="200"}' in page.text
    assert "botwire_request_seconds_bucket" in page.text
    assert "botwire_commit_writes_sum" in page.text
    assert "canary" not in page.text


def test_requests_to_unknown_operations_cannot_grow_the_metrics(client: httpx.Client) -> None:
    for number in range(20):
        client.post(f"/v1/nothing{number}", json={})
    assert "nothing1" not in client.get("/metrics").text


def test_the_access_log_holds_no_names(tmp_path: Path) -> None:
    with ServerProcess(f"sqlite:///{tmp_path / 'log.db'}", access_log=True) as server:
        with server.memory("canary-namespace") as memory:
            memory.set("canary-key", "canary-value")
            memory.get("canary-key")
        server.stop()
        lines = [line for line in server.log if line["message"] == "request"]
    assert [(line["operation"], line["status"]) for line in lines] == [("set", 200), ("get", 200)]
    assert "canary" not in json.dumps(server.log)


def test_a_stop_finishes_what_was_acknowledged(botwire_server: ServerProcess) -> None:
    acknowledged: list[int] = []

    def write() -> None:
        with botwire_server.memory("stop", timeout=1) as memory:
            try:
                for number in range(100_000):
                    memory.append("log", number)
                    acknowledged.append(number)
            except BotWireError:
                return

    writer = threading.Thread(target=write)
    writer.start()
    while len(acknowledged) < 50:
        pass
    assert botwire_server.stop() == 0
    writer.join()
    botwire_server.start()
    with botwire_server.memory("stop") as memory:
        stored = memory.get("log")
    assert stored[: len(acknowledged)] == acknowledged
    assert len(stored) <= len(acknowledged) + 1


def test_a_port_in_use_is_said_in_words(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(InvalidRequest, match=f"cannot listen on 127.0.0.1:{port}"):
            serve(Settings(url=f"sqlite:///{tmp_path / 'x.db'}", port=port))


@pytest.mark.parametrize("port", [-1, 65536, 99999])
def test_a_port_that_is_none_is_refused(port: int) -> None:
    with pytest.raises(InvalidRequest, match=f"there is no port {port}"):
        Settings(port=port)


def test_options_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOTWIRE_SERVE_PORT", "9000")
    monkeypatch.setenv("BOTWIRE_SERVE_FREE_TIER", "1")
    monkeypatch.setenv("BOTWIRE_SERVE_API_KEYS", "/etc/keys.json")
    settings = Settings.from_environment(port=None, host="127.0.0.1")
    assert (settings.port, settings.free_tier) == (9000, True)
    assert settings.api_keys == Path("/etc/keys.json")
    assert Settings.from_environment(port=1).port == 1
    monkeypatch.setenv("BOTWIRE_SERVE_PORT", "many")
    with pytest.raises(InvalidRequest, match="BOTWIRE_SERVE_PORT must be a whole number"):
        Settings.from_environment()


def test_the_openapi_document_describes_every_operation_with_its_fields(
    client: httpx.Client,
) -> None:
    document = client.get("/openapi.json").json()
    for name, kind in OPERATIONS.items():
        body = document["paths"][f"/v1/{name}"]["post"]["requestBody"]["content"][
            "application/json"
        ]
        fields = {field.name for field in dataclasses.fields(kind)}
        assert set(body["schema"]["properties"]) == fields, name
        assert body["example"].keys() <= fields
    for path in (
        "/memory/{namespace}/{key}",
        "/memory/{namespace}",
        "/healthz",
        "/readyz",
        "/metrics",
    ):
        assert path in document["paths"]


def test_the_examples_of_the_openapi_document_work(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    for name in OPERATIONS:
        operation = document["paths"][f"/v1/{name}"]["post"]
        example = operation["requestBody"]["content"]["application/json"]["example"]
        example["namespace"] = f"example-{name}"
        assert client.post(f"/v1/{name}", json=example).status_code == 200, name


def test_a_store_that_cannot_be_used_is_named_when_the_server_starts(tmp_path: Path) -> None:
    (tmp_path / "notes.db").write_text("these are notes, and no database")
    with ServerProcess(f"sqlite:///{tmp_path / 'notes.db'}") as server:
        warning = next(line for line in server.log if line["level"] == "warning")
        assert warning["message"] == "the store cannot be used now"
        assert "file is not a database" in warning["problem"]
        assert httpx.get(f"{server.url}/healthz").status_code == 200
        assert httpx.get(f"{server.url}/readyz").status_code == 503
