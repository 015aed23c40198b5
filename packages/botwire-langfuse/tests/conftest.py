"""Langfuse clients of their own: one process would otherwise share providers between tests."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import botwire_langfuse

if TYPE_CHECKING:
    from langfuse_kit import Service

# For the kit beside this file and the endpoint that all tracing tests share.
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[3] / "tests")]


@pytest.fixture
def service() -> Iterator["Service"]:
    """A fake Langfuse with one project and its client."""
    from langfuse_kit import Service
    from tracing_endpoint import Endpoint

    with Endpoint() as endpoint:
        service = Service(endpoint)
        service.project()
        yield service
        botwire_langfuse.uninstrument()
        service.forget()


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PUBLIC_KEY", "SECRET_KEY", "BASE_URL", "HOST"):
        monkeypatch.delenv(f"LANGFUSE_{name}", raising=False)
