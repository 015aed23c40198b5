"""Python values as plain JSON, the way CrewAI's own stores write them, and without secrets."""

import math
from typing import Any, cast

from pydantic_core import to_jsonable_python

__all__ = ["plain", "without_secrets"]

SECRETS = frozenset(
    {"api_key", "apikey", "api_token", "access_token", "auth_token", "secret_key", "password"}
)


def plain(value: Any) -> Any:
    """A value as JSON: models as objects, sets and tuples as lists, dates as ISO text, anything
    unknown as its text. Numbers that JSON does not have become text, which pydantic reads back.

    >>> plain({"tags": {"x"}, "best": float("inf")})
    {'tags': ['x'], 'best': 'inf'}
    """
    try:
        found = to_jsonable_python(value, fallback=str)
    except UnicodeDecodeError:  # bytes that are no text
        found = to_jsonable_python(value, fallback=str, bytes_mode="base64")
    return _finite(found)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_finite(part) for part in cast("list[Any]", value)]
    return value


def without_secrets(value: Any) -> Any:
    """Plain JSON in which every API key and password is null.

    CrewAI then reads it from the environment, where it belongs.

    >>> without_secrets({"llm": {"model": "m", "api_key": "sk-1"}})
    {'llm': {'model': 'm', 'api_key': None}}
    """
    if isinstance(value, dict):
        parts = cast("dict[str, Any]", value).items()
        return {k: None if k.lower() in SECRETS else without_secrets(v) for k, v in parts}
    if isinstance(value, list):
        return [without_secrets(part) for part in cast("list[Any]", value)]
    return value
