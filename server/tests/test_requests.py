"""How a request's body is read."""

import time
from collections.abc import MutableMapping
from typing import Any

import pytest

from botwire.errors import TooLarge
from botwire_server.requests import Request, read_body

JSON = [(b"content-type", b"application/json")]


async def uploaded(parts: int, size: int, limit: int) -> bytes:
    """A body that comes in so many parts."""
    left = iter(range(parts - 1, -1, -1))

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": b"x" * size, "more_body": next(left) > 0}

    return await read_body(Request("PUT", b"/", b"", JSON, limit), receive)


async def test_a_body_in_many_parts_costs_no_more_than_its_length() -> None:
    began = time.monotonic()
    body = await uploaded(32_000, 1000, 32_000_000)
    assert time.monotonic() - began < 2
    assert len(body) == 32_000_000


@pytest.mark.parametrize(("parts", "size"), [(1, 1001), (11, 100), (1001, 1)])
async def test_a_body_that_is_too_large_is_refused_whatever_its_parts(
    parts: int, size: int
) -> None:
    with pytest.raises(TooLarge):
        await uploaded(parts, size, 1000)
    assert await uploaded(1000, 1, 1000) == b"x" * 1000
