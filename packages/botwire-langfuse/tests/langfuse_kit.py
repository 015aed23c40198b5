"""A fake Langfuse, clients for its projects, and scripts in processes of their own."""

import inspect
import json
import os
import subprocess
import sys
from itertools import count
from typing import Any

from langfuse import Langfuse
from langfuse._client.resource_manager import LangfuseResourceManager
from opentelemetry.sdk.trace import TracerProvider
from tracing_endpoint import Endpoint, Span

numbers = count(1)

# What was to be sent has been: at a regular end Langfuse 3 waits seconds for each of its threads.
END = """
import os, sys
sys.stdout.flush()
os._exit(0)
"""


class Service:
    """A fake Langfuse and the clients that were made for it."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._providers: list[TracerProvider] = []
        self.forget()

    def project(self, **options: Any) -> Langfuse:
        """The client of a new project, with a tracer provider of its own."""
        provider = options.pop("tracer_provider", None) or TracerProvider(shutdown_on_exit=False)
        self._providers.append(provider)
        key = options.pop("public_key", f"pk-lf-{next(numbers)}")
        return Langfuse(
            public_key=key,
            secret_key="sk-lf-x",
            **address(self.endpoint.url),
            tracer_provider=provider,
            **options,
        )

    def spans(self) -> list[Span]:
        for provider in self._providers:
            provider.force_flush()
        return self.endpoint.spans()

    def span(self, name: str) -> Span:
        self.spans()
        return self.endpoint.span(name)

    def forget(self) -> None:
        """Langfuse keeps clients for the life of the process."""
        for provider in self._providers:
            provider.shutdown()
        LangfuseResourceManager._instances.clear()


def address(url: str) -> dict[str, Any]:
    """`base_url=` is `host=` in the older versions."""
    named = "base_url" in inspect.signature(Langfuse.__init__).parameters
    return {"base_url" if named else "host": url}


def observed(span: Span) -> dict[str, Any]:
    """What Langfuse shows of an observation, whatever version sent it."""
    prefix = "langfuse.observation."
    return {
        name.removeprefix(prefix): _decoded(value)
        for name, value in span.attributes.items()
        if name.startswith(prefix)
    }


def _decoded(value: Any) -> Any:
    try:
        return json.loads(value)
    except (TypeError, ValueError):
        return value


def script(source: str, endpoint: Endpoint, **environment: str) -> str:
    """What a script prints that has the process, and so the global provider, for itself."""
    done = subprocess.run(
        [sys.executable, "-c", source + END],
        capture_output=True,
        text=True,
        timeout=100,
        env={
            **os.environ,
            "LANGFUSE_PUBLIC_KEY": "pk-lf-x",
            "LANGFUSE_SECRET_KEY": "sk-lf-x",
            "LANGFUSE_BASE_URL": endpoint.url,
            "LANGFUSE_HOST": endpoint.url,
            **environment,
        },
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
