"""Lets the tests here import the kit beside them and the endpoint that all tracing tests share."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from humanloop_kit import Service

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[3] / "tests")]


@pytest.fixture
def service() -> Iterator["Service"]:
    """A fake Humanloop and a client of it."""
    from humanloop_kit import Service

    import botwire_humanloop

    with Service() as service:
        yield service
        botwire_humanloop.uninstrument()
