"""Lets the tests here import the kit beside them and the endpoint that all tracing tests share."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import botwire_agentops

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[3] / "tests")]


@pytest.fixture(autouse=True)
def _instrumented_by_nobody_else() -> Iterator[None]:
    yield
    botwire_agentops.uninstrument()
