"""Python values as plain JSON, the way CrewAI's own stores write them, and without secrets."""

import math
import os
import re
from collections.abc import Iterator
from typing import Any, cast

from pydantic_core import to_jsonable_python

__all__ = ["plain", "without_secrets"]

SHORTEST = 8  # a shorter text is no key, and would be found in ordinary words
_is_secret = re.compile(
    r"(^|_)(api_?key|(api|auth|access|bearer)_?token|secret(_?key)?|access_key|password)$", re.I
).search


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
    """Plain JSON without API keys and passwords.

    The members that hold one become null (CrewAI then reads the environment, where a key belongs),
    and wherever else the same text stands, or that of a key in this process's environment, it is
    replaced.

    >>> without_secrets({"llm": {"api_key": "sk-12345678"}, "log": "used sk-12345678"})
    {'llm': {'api_key': None}, 'log': 'used ***'}
    """
    known = {*_secrets_in(value), *_secrets_in(dict(os.environ))}
    texts = sorted((text for text in known if len(text) >= SHORTEST), key=len, reverse=True)
    pattern = re.compile("|".join(map(re.escape, texts))) if texts else None
    return _cleaned(value, pattern)


def _secrets_in(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, part in cast("dict[str, Any]", value).items():
            if isinstance(part, str) and _is_secret(name):
                yield part
            else:
                yield from _secrets_in(part)
    elif isinstance(value, list):
        for part in cast("list[Any]", value):
            yield from _secrets_in(part)


def _cleaned(value: Any, secret: re.Pattern[str] | None) -> Any:
    if isinstance(value, str):
        return secret.sub("***", value) if secret else value
    if isinstance(value, dict):
        parts = cast("dict[str, Any]", value).items()
        return {
            name: None if isinstance(part, str) and _is_secret(name) else _cleaned(part, secret)
            for name, part in parts
        }
    if isinstance(value, list):
        return [_cleaned(part, secret) for part in cast("list[Any]", value)]
    return value
