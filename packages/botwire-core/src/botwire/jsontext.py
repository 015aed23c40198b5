"""JSON as text: values are checked once, kept as the text they came as, and never written anew.

Rules of this room:
- `Json` is text that has been checked: strict RFC 8259, finite numbers, at most `MAX_DEPTH` levels.
- A part of a value is a slice of its text, so numbers, member order and escapes stay untouched.
- Python refuses to convert integers of more than 4,300 digits through `str`; `Decimal` does it.
"""

import json
import math
import re
from collections.abc import Callable, Iterable
from decimal import Decimal
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import Any, cast

from botwire.errors import InvalidValue

__all__ = [
    "MAX_DEPTH",
    "Json",
    "check",
    "decode",
    "elements",
    "encode",
    "members",
    "merge",
    "write",
]

MAX_DEPTH = (
    200  # far below Python's recursion limit, so what one process stores every other can read
)

_skip_space = re.compile(r"[ \t\n\r]*").match
_scan_string = cast("Callable[[str, int, bool], tuple[str, int]]", scanstring)


class Json(str):
    """The text of one JSON value, known to be valid.

    >>> Json('{"a":1}')
    '{"a":1}'
    """

    __slots__ = ()


def _refuse_constant(name: str) -> float:
    raise InvalidValue(f"{name} is not JSON", hint="Store null or a text instead.")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise InvalidValue(f"{text[:40]} is too large for a number with a fraction or exponent")
    return number


def _any_integer(text: str) -> int:
    return int(Decimal(text))


_reader = json.JSONDecoder()
_big_reader = json.JSONDecoder(parse_int=_any_integer)
_checker = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)
_big_checker = json.JSONDecoder(
    parse_constant=_refuse_constant, parse_float=_finite, parse_int=lambda digits: 0
)
_dense = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_ascii = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode


def decode(text: str) -> Any:
    """The Python value of checked JSON text, with integers of any size.

    >>> decode('{"n":[1,2.5,null]}')
    {'n': [1, 2.5, None]}
    """
    try:
        return _reader.raw_decode(text)[0]
    except json.JSONDecodeError:
        raise
    except ValueError:  # an integer of more than 4,300 digits
        return _big_reader.raw_decode(text)[0]


def encode(value: Any) -> Json:
    """The JSON text of a Python value that will come back equal, or `InvalidValue` with the path.

    Accepts None, bool, int, finite float, str, and lists and dicts (text keys) of these.

    >>> encode({"a": [1, "\\u00e9"]})
    '{"a":[1,"é"]}'
    >>> encode({"when": (1, 2)})
    Traceback (most recent call last):
    botwire.errors.InvalidValue: $.when is a tuple, which JSON would turn into a list
    Convert it with list(...) first.
    """
    try:
        text = _dense(value)
        if not text.isascii():
            text.encode()
    except UnicodeEncodeError:  # a lone surrogate: JSON can carry it only as an escape
        text = _ascii(value)
    except (TypeError, ValueError, RecursionError) as error:
        text = _encode_slowly(value, error)
    if type(value) is str or type(value) is int:
        return Json(text)
    # JSON has fewer types than Python; what would change (a tuple, a number as key) is not equal.
    try:
        exact = decode(text) == value
    except RecursionError:
        exact = False
    if not exact or _too_deep(text, value):
        raise _refusal(value)
    return Json(text)


def _encode_slowly(value: Any, error: Exception) -> str:
    problem = None if isinstance(error, RecursionError) else _bad_part(value, "$", ())
    if problem or isinstance(error, (RecursionError, TypeError)):
        raise _refusal(value) from None
    return _with_big_integers(value)


def _with_big_integers(value: Any) -> str:
    if isinstance(value, dict):
        pairs = cast("dict[str, Any]", value).items()
        return "{" + ",".join(f"{_ascii(k)}:{_with_big_integers(v)}" for k, v in pairs) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_with_big_integers, cast("list[Any]", value))) + "]"
    if isinstance(value, int) and not isinstance(value, bool):
        return str(Decimal(value))
    return _ascii(value)


def _refusal(value: Any) -> InvalidValue:
    problem, hint = _bad_part(value, "$", ()) or (
        "the value changes when written as JSON",
        "Store plain None, bool, int, float, str, list and dict.",
    )
    return InvalidValue(problem, hint=hint)


def _bad_part(value: Any, path: str, above: tuple[int, ...]) -> tuple[str, str] | None:
    """The first part that JSON cannot carry and what to do about it, depth first."""
    if value is None or isinstance(value, (bool, int, str)):
        return None
    if isinstance(value, float):
        return (
            None
            if math.isfinite(value)
            else (f"{path} is {value}", "JSON has finite numbers only.")
        )
    if isinstance(value, tuple):
        return (
            f"{path} is a tuple, which JSON would turn into a list",
            "Convert it with list(...) first.",
        )
    if not isinstance(value, (list, dict)):
        kind = f"{type(cast('object', value)).__name__}"
        return (
            f"{path} is of type {kind}, which is not JSON",
            "Convert it to text, numbers, lists or dicts.",
        )
    return _bad_member(cast("list[Any] | dict[Any, Any]", value), path, above)


def _bad_member(
    value: "list[Any] | dict[Any, Any]", path: str, above: tuple[int, ...]
) -> tuple[str, str] | None:
    if id(value) in above:
        return f"{path} contains itself", "JSON has no references; store a copy without the cycle."
    if len(above) >= MAX_DEPTH:
        return f"the value is nested deeper than {MAX_DEPTH} levels", "Split it over several keys."
    above = (*above, id(value))
    if isinstance(value, list):
        return _first(_bad_part(item, f"{path}[{i}]", above) for i, item in enumerate(value))
    for name in value:
        if not isinstance(name, str):
            kind = type(name).__name__
            return (
                f"{path} has the key {name!r} of type {kind}",
                "JSON objects have text keys only.",
            )
    return _first(_bad_part(item, f"{path}.{name}", above) for name, item in value.items())


def _first(found: Any) -> tuple[str, str] | None:
    return next((problem for problem in found if problem), None)


def _too_deep(text: str, value: Any) -> bool:
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return False
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH + 1):
        inner: list[Any] = []
        for item in level:
            inner += [child for child in _children(item) if isinstance(child, (dict, list))]
        if not inner:
            return False
        level = inner
    return True


def _children(item: Any) -> Iterable[Any]:
    if isinstance(item, dict):
        return cast("dict[str, Any]", item).values()
    return cast("list[Any]", item)


def _read(text: str, start: int) -> tuple[Any, int]:
    """Read and check the value that starts at `start`: (value, where it ends)."""
    try:
        return _checker.raw_decode(text, start)
    except json.JSONDecodeError as error:
        raise InvalidValue(f"not JSON: {error}") from None
    except RecursionError:
        raise InvalidValue(f"the value is nested deeper than {MAX_DEPTH} levels") from None
    except InvalidValue:
        raise
    except ValueError:
        return _big_checker.raw_decode(text, start)


def _value_at(text: str, start: int) -> tuple[Json, int]:
    value, end = _read(text, start)
    part = Json(text[start:end])
    if isinstance(value, (dict, list)) and _too_deep(part, value):
        raise InvalidValue(f"the value is nested deeper than {MAX_DEPTH} levels")
    return part, end


def _space(text: str, start: int) -> int:
    return cast("re.Match[str]", _skip_space(text, start)).end()


def _end(text: str, position: int) -> None:
    if _space(text, position) != len(text):
        raise InvalidValue(f"not JSON: extra text at character {position}")


def check(text: str) -> Json:
    """Text from outside as `Json`, or `InvalidValue`. Surrounding white space is dropped.

    >>> check(' [1, 2] ')
    '[1, 2]'
    """
    part, end = _value_at(text, _space(text, 0))
    _end(text, end)
    return part


def members(text: str) -> dict[str, Json]:
    """The texts of an object's members, each as it was written.

    >>> members('{"a": 1.50, "b": [ 1 ]}')
    {'a': '1.50', 'b': '[ 1 ]'}
    """
    found: dict[str, Json] = {}

    def member(position: int) -> int:
        if text[position : position + 1] != '"':
            raise InvalidValue(f"not JSON: a member name was expected at character {position}")
        name, position = _name_at(text, position)
        found[name], position = _value_at(text, position)
        return position

    _each(text, "{", "}", member)
    return found


def elements(text: str) -> list[Json]:
    """The texts of an array's items, each as it was written.

    >>> elements('[1.50, {"a": 2}]')
    ['1.50', '{"a": 2}']
    """
    found: list[Json] = []

    def element(position: int) -> int:
        part, position = _value_at(text, position)
        found.append(part)
        return position

    _each(text, "[", "]", element)
    return found


def _name_at(text: str, position: int) -> tuple[str, int]:
    try:
        name, position = _scan_string(text, position + 1, True)
    except json.JSONDecodeError as error:
        raise InvalidValue(f"not JSON: {error}") from None
    position = _space(text, position)
    if text[position : position + 1] != ":":
        raise InvalidValue(f"not JSON: ':' was expected at character {position}")
    return name, _space(text, position + 1)


def _each(text: str, opening: str, closing: str, part: Callable[[int], int]) -> None:
    """Walk the parts between two brackets; `part` reads one and says where it ended."""
    position = _space(text, 0)
    if text[position : position + 1] != opening:
        kind = "an object" if opening == "{" else "an array"
        raise InvalidValue(f"{kind} was expected", hint="Send JSON as the documentation shows.")
    position = _space(text, position + 1)
    if text[position : position + 1] == closing:
        return _end(text, position + 1)
    while True:
        position = _space(text, part(position))
        mark = text[position : position + 1]
        if mark == closing:
            return _end(text, position + 1)
        if mark != ",":
            raise InvalidValue(f"not JSON: ',' or '{closing}' was expected at character {position}")
        position = _space(text, position + 1)


def merge(target: str | None, patch: str) -> Json:
    """JSON Merge Patch (RFC 7396) on texts: what the patch does not name stays as it was written.

    >>> merge('{"a":1.50,"b":{"c":1}}', '{"b":{"c":null,"d":2}}')
    '{"a":1.50,"b":{"d":2}}'
    """
    if not patch.startswith("{"):
        return Json(patch)
    merged = members(target) if target is not None and target.startswith("{") else {}
    for name, change in members(patch).items():
        if change == "null":
            merged.pop(name, None)
        else:
            merged[name] = merge(merged.get(name), change)
    return Json("{" + ",".join(f"{_name(name)}:{text}" for name, text in merged.items()) + "}")


def _name(name: str) -> str:
    return encode(name)


def write(data: Any) -> str:
    """The JSON text of plain data in which `Json` parts stand for themselves.

    >>> write({"value": Json('1.50'), "keys": ["a"]})
    '{"value":1.50,"keys":["a"]}'
    """
    if isinstance(data, Json):
        return data
    if isinstance(data, dict):
        pairs = cast("dict[str, Any]", data).items()
        return "{" + ",".join(f"{_name(name)}:{write(part)}" for name, part in pairs) + "}"
    if isinstance(data, (list, tuple)):
        return "[" + ",".join(map(write, cast("list[Any]", data))) + "]"
    return encode(data)
