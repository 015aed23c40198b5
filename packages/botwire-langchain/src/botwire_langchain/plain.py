"""Python values that JSON has no words for, written as JSON and read back as they were.

A value that JSON can carry is stored as it is, so that every other program can read it. `tag` is
for the rest: tuples, bytes, sets, dates, decimals, UUIDs, NaN, infinities, keys that are no text.
A tagged value is an object with one member, whose name starts with "$"; nothing is ever imported or
called by name to read one.
"""

import base64
import math
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, cast
from uuid import UUID

from botwire.errors import InvalidValue
from botwire.jsontext import Json, encode

__all__ = ["tag", "untag", "wrap"]

_writers: dict[type, tuple[str, Callable[[Any], Any]]] = {
    tuple: ("$tuple", lambda value: [tag(item) for item in value]),
    set: ("$set", lambda value: [tag(item) for item in value]),
    frozenset: ("$frozenset", lambda value: [tag(item) for item in value]),
    bytes: ("$bytes", lambda value: base64.b64encode(value).decode()),
    datetime: ("$datetime", datetime.isoformat),
    date: ("$date", date.isoformat),
    time: ("$time", time.isoformat),
    timedelta: ("$timedelta", lambda value: [value.days, value.seconds, value.microseconds]),
    Decimal: ("$decimal", str),
    UUID: ("$uuid", str),
}
_readers: dict[str, Callable[[Any], Any]] = {
    "$tuple": lambda data: tuple(map(untag, data)),
    "$set": lambda data: set(map(untag, data)),
    "$frozenset": lambda data: frozenset(map(untag, data)),
    "$bytes": base64.b64decode,
    "$datetime": datetime.fromisoformat,
    "$date": date.fromisoformat,
    "$time": time.fromisoformat,
    "$timedelta": lambda data: timedelta(*data),
    "$decimal": Decimal,
    "$uuid": UUID,
    "$float": float,
    "$dict": lambda data: {untag(key): untag(value) for key, value in data},
}


def tag(value: Any) -> Any:
    """The value in words of JSON.

    >>> tag({"at": (1, b"x")})
    {'at': {'$tuple': [1, {'$bytes': 'eA=='}]}}
    """
    if isinstance(value, dict):
        return _tag_dict(cast("dict[Any, Any]", value))
    if isinstance(value, list):
        return [tag(item) for item in cast("list[Any]", value)]
    if isinstance(value, float) and not math.isfinite(value):
        return {"$float": str(value)}
    name, write = _writers.get(cast("type", type(value)), ("", None))
    return value if write is None else {name: write(value)}


def _tag_dict(value: dict[Any, Any]) -> dict[str, Any]:
    if all(isinstance(key, str) and not key.startswith("$") for key in value):
        return {key: tag(item) for key, item in value.items()}
    return {"$dict": [[tag(key), tag(item)] for key, item in value.items()]}


def untag(data: Any) -> Any:
    """What `tag` was given.

    >>> untag({"at": {"$tuple": [1, 2]}})
    {'at': (1, 2)}
    """
    if isinstance(data, list):
        return [untag(item) for item in cast("list[Any]", data)]
    if not isinstance(data, dict):
        return data
    members = cast("dict[str, Any]", data)
    if len(members) == 1:
        name, inner = next(iter(members.items()))
        if read := _readers.get(name):
            return read(inner)
    return {key: untag(item) for key, item in members.items()}


def wrap(value: dict[str, Any], name: str) -> Json:
    """The JSON text of an object; where JSON cannot carry it, its member `name` is tagged.

    The tagged member is then called "$name", so that the reader knows.

    >>> wrap({"data": [1]}, "data"), wrap({"data": (1,)}, "data")
    ('{"data":[1]}', '{"$data":{"$tuple":[1]}}')
    """
    try:
        return encode(value)
    except InvalidValue:
        rest = {key: item for key, item in value.items() if key != name}
        return encode(rest | {f"${name}": tag(value[name])})
