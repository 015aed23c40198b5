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
from botwire.jsonfaults import MAX_DEPTH, Fault, fault, joined_surrogates

__all__ = [
    "MAX_DEPTH",
    "Json",
    "check",
    "decode",
    "decode_quickly",
    "elements",
    "encode",
    "encode_plain",
    "kind_of",
    "members",
    "merge",
    "quoted",
    "within",
    "write",
]

_skip_space = re.compile(r"[ \t\n\r]*").match
# A name without escapes, up to the value behind it.
_plain_name = re.compile(r'"([^"\\\x00-\x1f]*)"[ \t\n\r]*:[ \t\n\r]*').match
MARKS = frozenset(",]}")
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


Scan = Callable[[str, int], tuple[Any, int]]


def _scanner(**options: Any) -> Scan:
    """What a decoder's methods run: the value at a position, and where it ends.

    It raises StopIteration, with the position, where no value begins.
    """
    return getattr(json.JSONDecoder(**options), "scan_once")  # noqa: B009


_scan = _scanner()
_scan_big = _scanner(parse_int=_any_integer)
_check = _scanner(parse_constant=_refuse_constant, parse_float=_finite)
# What is checked is not needed, and how many digits a number has is soon found out.
_check_big = _scanner(parse_constant=_refuse_constant, parse_float=_finite, parse_int=len)
_dense = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_quote = json.encoder.encode_basestring  # what the encoder itself uses, without its set-up
_surrogates = re.compile("[\ud800-\udfff]")


def quoted(text: str) -> str:
    r"""The JSON text of text that holds no lone surrogates, such as a key.

    >>> quoted('say "hi"')
    '"say \\"hi\\""'
    """
    return _quote(text)


def decode(text: str) -> Any:
    """The Python value of checked JSON text, with integers of any size.

    >>> decode('{"n":[1,2.5,null]}')
    {'n': [1, 2.5, None]}
    """
    try:
        return _scan(text, 0)[0]
    except StopIteration as error:
        raise json.JSONDecodeError("a value was expected", text, error.value) from None
    except json.JSONDecodeError:
        raise
    except ValueError:  # an integer of more than 4,300 digits
        return _scan_big(text, 0)[0]


def decode_quickly(text: str) -> Any:
    """As `decode`, but refuses integers of more than 4,300 digits.

    Reading those takes time that grows with the square of their length, so what a server has to
    read itself is read with this: nobody can keep it busy with one number.
    """
    try:
        return _scan(text, 0)[0]
    except ValueError:
        raise InvalidValue(
            "an integer of more than 4,300 digits can be stored, but not worked with",
            hint="Store it as text, or as parts.",
        ) from None


_KINDS = {"{": "object", "[": "list", '"': "text", "t": "boolean", "f": "boolean", "n": "null"}


def kind_of(text: str) -> str:
    """What a checked text is, in a word.

    >>> kind_of('{"a":1}'), kind_of("1")
    ('object', 'number')
    """
    return _KINDS.get(text[:1], "number")


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
    except (TypeError, ValueError, RecursionError):
        text = _encode_slowly(value)
    if not text.isascii():
        text = _escaped(text, value)
    if type(value) is str or type(value) is int:
        return Json(text)
    # JSON has fewer types than Python; what would change (a tuple, a number as key) is not equal.
    if _too_deep(text, value, MAX_DEPTH) or decode(text) != value:
        raise _refusal(fault(value))
    return Json(text)


def encode_plain(value: Any) -> Json:
    """As `encode`, without looking for what JSON would change: for data of our own making.

    Raises:
        TypeError: it holds what JSON cannot.

    >>> encode_plain(["c", None, 1])
    '["c",null,1]'
    """
    text = _dense(value)
    return Json(text if text.isascii() else _escaped(text, value))


def _escaped(text: str, value: Any) -> str:
    """The text as it is, unless it holds a lone surrogate, which JSON carries only as an escape."""
    try:
        text.encode()
    except UnicodeEncodeError:
        if joined_surrogates(text):
            raise _refusal(fault(value)) from None
        return _surrogates.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    return text


def _encode_slowly(value: Any) -> str:
    found = fault(value)
    if found:
        raise _refusal(found)
    return _with_big_integers(value)


def _with_big_integers(value: Any) -> str:
    if isinstance(value, dict):
        pairs = cast("dict[str, Any]", value).items()
        return "{" + ",".join(f"{_dense(k)}:{_with_big_integers(v)}" for k, v in pairs) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_with_big_integers, cast("list[Any]", value))) + "]"
    if isinstance(value, int) and not isinstance(value, bool):
        return str(Decimal(value))
    return _dense(value)


def _refusal(found: Fault | None) -> InvalidValue:
    problem, hint = found or (
        "the value changes when written as JSON",
        "Store plain None, bool, int, float, str, list and dict.",
    )
    return InvalidValue(problem, hint=hint)


def _too_deep(text: str, value: Any, levels: int) -> bool:
    if text.count("[") + text.count("{") <= levels:
        return False
    level: list[Any] = [value]
    for _ in range(levels):
        level = [
            child for item in level for child in _children(item) if isinstance(child, (dict, list))
        ]
        if not level:
            return False
    return True


def _children(item: Any) -> Iterable[Any]:
    if isinstance(item, dict):
        return cast("dict[str, Any]", item).values()
    return cast("list[Any]", item)


def _read(text: str, start: int, scan: Scan = _check) -> tuple[Any, int]:
    """Read and check the value that starts at `start`: (value, where it ends)."""
    try:
        return scan(text, start)
    except StopIteration as error:
        missing = json.JSONDecodeError("Expecting value", text, error.value)
        raise InvalidValue(f"not JSON: {missing}") from None
    except json.JSONDecodeError as error:
        raise InvalidValue(f"not JSON: {error}") from None
    except RecursionError:
        raise InvalidValue(f"the value is nested deeper than {MAX_DEPTH} levels") from None
    except InvalidValue:
        raise
    except ValueError:  # an integer of more than 4,300 digits
        return _read(text, start, _check_big)


def _value_at(text: str, start: int, levels: int) -> tuple[Json, int]:
    value, end = _read(text, start)
    part = Json(text[start:end])
    if isinstance(value, (dict, list)) and _too_deep(part, value, levels):
        raise InvalidValue(f"the value is nested deeper than {MAX_DEPTH} levels")
    return part, end


def _space(text: str, start: int) -> int:
    return _skip_space(text, start).end()  # pyright: ignore[reportOptionalMemberAccess] (it matches)


def _end(text: str, position: int) -> None:
    if position != len(text) and _space(text, position) != len(text):
        raise InvalidValue(f"not JSON: extra text at character {position}")


def check(text: str) -> Json:
    """Text from outside as `Json`, or `InvalidValue`. Surrounding white space is dropped.

    >>> check(' [1, 2] ')
    '[1, 2]'
    """
    part, end = _value_at(text, _space(text, 0), MAX_DEPTH)
    _end(text, end)
    return part


def within(text: str) -> Json:
    """Text that was read with more levels around it, as a value of its own: not too deep either."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return Json(text)
    return check(text)


def members(text: str, levels: int = MAX_DEPTH) -> dict[str, Json]:
    """The texts of an object's members, each as it was written and at most `levels` deep.

    >>> members('{"a": 1.50, "b": [ 1 ]}')
    {'a': '1.50', 'b': '[ 1 ]'}
    """
    found: dict[str, Json] = {}
    position = _first(text, "{", "}")
    while position:
        name, position = _name_at(text, position)
        found[name], position = _value_at(text, position, levels)
        position = _next(text, position, "}")
    return found


def elements(text: str, levels: int = MAX_DEPTH) -> list[Json]:
    """The texts of an array's items, each as it was written and at most `levels` deep.

    >>> elements('[1.50, {"a": 2}]')
    ['1.50', '{"a": 2}']
    """
    found: list[Json] = []
    position = _first(text, "[", "]")
    while position:
        part, position = _value_at(text, position, levels)
        found.append(part)
        position = _next(text, position, "]")
    return found


def _name_at(text: str, position: int) -> tuple[str, int]:
    """A member's name, and where its value begins."""
    plain = _plain_name(text, position)
    if plain:
        return plain[1], plain.end()
    if text[position : position + 1] != '"':
        raise InvalidValue(f"not JSON: a member name was expected at character {position}")
    try:
        name, position = _scan_string(text, position + 1, True)
    except json.JSONDecodeError as error:
        raise InvalidValue(f"not JSON: {error}") from None
    position = _space(text, position)
    if text[position : position + 1] != ":":
        raise InvalidValue(f"not JSON: ':' was expected at character {position}")
    return name, _space(text, position + 1)


def _first(text: str, opening: str, closing: str) -> int:
    """Where the first part between the brackets begins; 0 where there is none."""
    position = 0 if text.startswith(opening) else _space(text, 0)
    if not text.startswith(opening, position):
        kind = "an object" if opening == "{" else "an array"
        raise InvalidValue(f"{kind} was expected", hint="Send JSON as the documentation shows.")
    position = _space(text, position + 1)
    if text[position : position + 1] != closing:
        return position
    _end(text, position + 1)
    return 0


def _next(text: str, position: int, closing: str) -> int:
    """Where the part behind the one that ended at `position` begins; 0 behind the last one."""
    mark = text[position : position + 1]
    if mark not in MARKS:  # white space comes first
        position = _space(text, position)
        mark = text[position : position + 1]
    if mark == ",":
        return _space(text, position + 1)
    if mark != closing:
        raise InvalidValue(f"not JSON: ',' or '{closing}' was expected at character {position}")
    _end(text, position + 1)
    return 0


def merge(target: str | None, patch: str) -> Json:
    """JSON Merge Patch (RFC 7396) on texts: what the patch does not name stays as it was written.

    A patch that changes nothing gives the target's very text.

    >>> merge('{"a":1.50,"b":{"c":1}}', '{"b":{"c":null,"d":2}}')
    '{"a":1.50,"b":{"d":2}}'
    """
    if not patch.startswith("{"):
        return Json(patch)
    old = members(target) if target is not None and target.startswith("{") else None
    merged = dict(old or {})
    for name, change in members(patch).items():
        if change == "null":
            merged.pop(name, None)
        else:
            merged[name] = merge(merged.get(name), change)
    if merged == old:
        return Json(target)
    return Json("{" + ",".join(f"{_leaf(name)}:{text}" for name, text in merged.items()) + "}")


SMALL = 2**63  # up to here `str` gives what `encode` does


def _leaf(value: Any) -> str:
    """What `encode` gives, in a fraction of its time for names and the like."""
    if type(value) is str and value.isascii():
        return _quote(value)
    if value is True or value is False:
        return "true" if value else "false"
    if type(value) is int and -SMALL < value < SMALL:
        return str(value)
    return encode(value)


def write(data: Any) -> str:
    """The JSON text of plain data in which `Json` parts stand for themselves.

    >>> write({"value": Json('1.50'), "keys": ["a"]})
    '{"value":1.50,"keys":["a"]}'
    """
    if type(data) in (str, int):  # most parts are: the rest need not be asked for
        return _leaf(data)
    if isinstance(data, Json):
        return data
    if isinstance(data, dict):
        pairs = cast("dict[str, Any]", data).items()
        return "{" + ",".join([f"{_leaf(name)}:{write(part)}" for name, part in pairs]) + "}"
    if isinstance(data, (list, tuple)):
        return "[" + ",".join(map(write, cast("list[Any]", data))) + "]"
    return _leaf(data)
