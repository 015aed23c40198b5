"""The pages about tracing are run, each in a process of its own, and what they say arrives does."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tracing_endpoint import Endpoint, Received

ROOT = Path(__file__).parents[1]

# A process has one tracer provider for good. It ends at once: AgentOps would wait for its service.
RUN = """
import os, sys, traceback
from pathlib import Path
from test_pages_run import run_page
try:
    assert run_page(Path(sys.argv[1]), Path(sys.argv[2])) > 0
    from opentelemetry import trace
    getattr(trace.get_tracer_provider(), "force_flush", lambda: None)()
except BaseException:
    traceback.print_exc()
    os._exit(1)
os._exit(0)
"""


def answer(received: Received) -> tuple[int, Any]:
    if received.path == "/v3/auth/token":
        return 200, {"token": "jwt", "project_id": "p", "project_prem_status": "pro"}
    if received.path == "/v5/flows/log":
        return 200, {"id": "log_1", "flow_id": "f", "version_id": "v", "log_status": "incomplete"}
    return 200, {"records": ["log_2"]}


@pytest.fixture
def service() -> Iterator[Endpoint]:
    with Endpoint(answer) as service:
        yield service


def run(page: str, folder: Path, service: Endpoint) -> None:
    done = subprocess.run(
        [sys.executable, "-c", RUN, ROOT / page, folder],
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT / "tests"),
            "LANGFUSE_PUBLIC_KEY": "pk",
            "LANGFUSE_SECRET_KEY": "sk",
            "LANGFUSE_BASE_URL": service.url,
            "AGENTOPS_API_KEY": "00000000-0000-4000-8000-000000000000",
            "AGENTOPS_API_ENDPOINT": service.url,
            "AGENTOPS_EXPORTER_ENDPOINT": f"{service.url}/v1/traces",
            "HUMANLOOP_URL": f"{service.url}/v5",
        },
    )
    assert done.returncode == 0, done.stderr


def test_docs_tracing(tmp_path: Path, service: Endpoint) -> None:
    run("docs/tracing.md", tmp_path, service)


def test_the_readme_of_langfuse(tmp_path: Path, service: Endpoint) -> None:
    run("packages/botwire-langfuse/README.md", tmp_path, service)
    parents = {(span.name, span.parent) for span in service.spans()}
    assert parents >= {
        ("botwire.get", "answer"),
        ("botwire.increment", "answer"),
        ("botwire.get", "recall"),
        ("botwire.clear", "nightly cleaning"),
        ("botwire.set", None),
    }
    assert "4000 1234" not in service.everything()


def test_the_readme_of_agentops(tmp_path: Path, service: Endpoint) -> None:
    run("packages/botwire-agentops/README.md", tmp_path, service)
    written = next(span for span in service.spans() if span.name == "botwire.set.tool")
    assert json.loads(written.attributes["tool.parameters"]) == {
        "namespace": "assistant:ada",
        "key": "preferences",
        "ttl": 86400,
    }
    parents = {(span.name, span.parent) for span in service.spans()}
    assert parents >= {
        ("botwire.get.tool", "answer.session"),
        ("recall preferences.task", "book a seat.tool"),
        ("botwire.increment.tool", "book a seat.tool"),
    }
    assert "4000 1234" not in service.everything()


def test_the_readme_of_humanloop(tmp_path: Path, service: Endpoint) -> None:
    run("packages/botwire-humanloop/README.md", tmp_path, service)
    begun = [received for received in service.requests if received.path == "/v5/flows/log"]
    assert [received.json()["path"] for received in begun] == ["waiter/answer"]


def test_the_table_of_names_says_what_the_code_says() -> None:
    from botwire.telemetry.conventions import NAMES

    page = (ROOT / "docs/tracing.md").read_text(encoding="utf-8")
    assert [name for name in NAMES.values() if f"`{name}`" not in page] == []
