"""A fake of Humanloop's v5 API that keeps what the real SDK sends."""

import json
from typing import Any, Self
from unittest.mock import patch

from humanloop import Humanloop
from tracing_endpoint import Endpoint, Received


def client(url: str, **options: Any) -> Humanloop:
    """A client that leaves the model clients of this process alone, which other tests use, too."""
    with patch("humanloop.client.instrument_provider"):
        return Humanloop(base_url=url, api_key="x", **options)


class Service:
    """The fake, and the client that talks to it."""

    def __init__(self) -> None:
        self._count = 0
        self.endpoint = Endpoint(self._answer)
        self.client = client(f"{self.endpoint.url}/v5")

    def _answer(self, received: Received) -> tuple[int, Any]:
        self._count += 1
        if received.path.endswith("/import/otel/v1/traces"):
            return 200, {"records": [f"log_{self._count}"]}
        log = received.json()
        return 200, {
            "id": f"log_{self._count}",
            "flow_id": "fl_1",
            "version_id": "v_1",
            "log_status": log.get("log_status"),
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.flush()
        self.endpoint.close()

    def flush(self) -> None:
        """End the SDK's exporter, which sends from a thread; it takes nothing after that."""
        (processor,) = self.client._tracer_provider._active_span_processor._span_processors
        processor.span_exporter.force_flush()

    def begun(self) -> list[dict[str, Any]]:
        """The flow logs that were begun, in order."""
        return [r.json() for r in self.endpoint.requests if r.path == "/v5/flows/log"]

    def logs(self) -> list[dict[str, Any]]:
        """The logs that the exporter sent: path, type, inputs, output, error and parent."""
        self.flush()
        sent = [r for r in self.endpoint.requests if r.path.endswith("/import/otel/v1/traces")]
        return [_log(received.json()) for received in sent]

    def log(self, path: str) -> dict[str, Any]:
        (log,) = [log for log in self.logs() if log["path"] == path]
        return log


def _log(body: dict[str, Any]) -> dict[str, Any]:
    span = body["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    found = {pair["key"]: pair["value"].get("stringValue", "") for pair in span["attributes"]}
    inputs = "humanloop.log.inputs."
    return {
        "span": span["name"],
        "path": found["humanloop.file.path"],
        "type": found["humanloop.file.type"],
        "function": found.get("humanloop.file.function.name"),
        "inputs": {k.removeprefix(inputs): v for k, v in found.items() if k.startswith(inputs)},
        "output": _decoded(found.get("humanloop.log.output")),
        "error": found.get("humanloop.log.error"),
        "parent": found.get("humanloop.log.trace_parent_id"),
        "id": found.get("humanloop.log.id"),
        "status": found.get("humanloop.log.log_status"),
    }


def _decoded(text: str | None) -> Any:
    try:
        return json.loads(text or "")
    except ValueError:
        return text
