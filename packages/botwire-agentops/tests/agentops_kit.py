"""A fake AgentOps, and scripts in processes of their own: AgentOps can be started once in each."""

import json
import os
import subprocess
import sys
from typing import Any

from tracing_endpoint import Endpoint, Received, Span

TOKEN = "jwt-1"

START = """
import logging, os, sys, time
logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s", stream=sys.stderr)
from botwire import Memory
import agentops, botwire_agentops
memory = Memory("m", url="memory://")

def init(**options):
    url = os.environ["FAKE_AGENTOPS"]
    os.environ["AGENTOPS_API_ENDPOINT"] = url
    agentops.init(
        api_key="00000000-0000-4000-8000-000000000000", endpoint=url,
        exporter_endpoint=url + "/v1/traces", auto_start_session=False, log_level="CRITICAL",
        instrument_llm_calls=False, log_session_replay_url=False, **options)
    until = time.monotonic() + 20
    while agentops.get_client().get_current_jwt() is None:  # it is fetched by a thread
        assert time.monotonic() < until
        time.sleep(0.01)
"""

# AgentOps would try to reach its own service for metrics at a regular end, and wait for it.
END = """
from opentelemetry import trace
trace.get_tracer_provider().force_flush()
sys.stdout.flush()
sys.stderr.flush()
os._exit(0)
"""


def endpoint() -> Endpoint:
    def answer(received: Received) -> tuple[int, Any]:
        if received.path == "/v3/auth/token":
            return 200, {"token": TOKEN, "project_id": "p", "project_prem_status": "pro"}
        return 200, {}

    return Endpoint(answer)


def script(source: str, service: Endpoint, **environment: str) -> str:
    """What a script logs that starts AgentOps with `init()`."""
    done = subprocess.run(
        [sys.executable, "-c", START + source + END],
        capture_output=True,
        text=True,
        timeout=100,
        env={
            **os.environ,
            "FAKE_AGENTOPS": service.url,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "LANGFUSE_PUBLIC_KEY": "pk-lf-x",
            "LANGFUSE_SECRET_KEY": "sk-lf-x",
            "LANGFUSE_BASE_URL": service.url,
            **environment,
        },
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def card(span: Span) -> dict[str, Any]:
    """What AgentOps shows on the card of a span: its type, arguments and result.

    The rules are those its dashboard was seen to follow: a name that ends in `.tool` makes a tool,
    whatever else has `gen_ai.` attributes a call of a model.
    """
    attributes = span.attributes
    kind = attributes.get("agentops.span.kind", "other")
    if any(name.startswith("gen_ai.") for name in attributes):
        kind = "tool" if span.name.endswith(".tool") else "llm"
    given = json.loads(attributes.get("agentops.entity.input", "{}"))
    return {
        "kind": kind,
        "name": attributes.get("operation.name"),
        "arguments": given.get("kwargs"),
        "result": json.loads(attributes.get("agentops.entity.output", "null")),
    }
