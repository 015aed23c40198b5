"""Why a Python value is not JSON: the first part at fault, where it is and what to do about it."""

import math
import re
from collections.abc import Iterator
from typing import Any, NamedTuple, cast

__all__ = ["MAX_DEPTH", "Fault", "fault", "joined_surrogates"]

# Far below Python's recursion limit, so what one process stores every other can read.
MAX_DEPTH = 200

# A surrogate alone survives as an escape, but two such escapes in a row are read as one character.
joined_surrogates = re.compile("[\ud800-\udbff][\udc00-\udfff]").search


class Fault(NamedTuple):
    problem: str
    hint: str


def fault(value: Any) -> Fault | None:
    """The first part, depth first, that JSON cannot carry.

    >>> fault({"when": [1, (2, 3)]}).problem
    '$.when[1] is a tuple, which JSON would turn into a list'
    """
    above: list[int] = []  # the lists and dicts around the part, by identity
    # A stack of its own: what is nested too deep must not exhaust Python's.
    walk: list[Iterator[tuple[str, Any]]] = [iter([("$", value)])]
    while walk:
        step = next(walk[-1], None)
        if step is None:
            walk.pop()
            del above[-1:]
            continue
        path, part = step
        found = _of_scalar(path, part) or _of_container(path, part, above)
        if found:
            return found
        if isinstance(part, (list, dict)):
            above.append(id(cast("object", part)))
            walk.append(_inside(path, cast("list[Any] | dict[str, Any]", part)))
    return None


def _inside(path: str, part: "list[Any] | dict[str, Any]") -> Iterator[tuple[str, Any]]:
    if isinstance(part, list):
        return ((f"{path}[{number}]", item) for number, item in enumerate(part))
    return ((f"{path}.{name}", item) for name, item in part.items())


def _of_scalar(path: str, part: object) -> Fault | None:
    if isinstance(part, str):
        return _of_text(path, part)
    if isinstance(part, float) and not math.isfinite(part):
        return Fault(f"{path} is {part}", "JSON has finite numbers only.")
    if isinstance(part, tuple):
        return Fault(
            f"{path} is a tuple, which JSON would turn into a list",
            "Convert it with list(...) first.",
        )
    if part is None or isinstance(part, (int, float, list, dict)):
        return None
    return Fault(
        f"{path} is of type {type(part).__name__}, which is not JSON",
        "Convert it to text, numbers, lists or dicts.",
    )


def _of_text(what: str, text: str) -> Fault | None:
    if not joined_surrogates(text):
        return None
    return Fault(
        f"{what} holds two halves of a surrogate pair, which JSON would join into one character",
        "Join them: text.encode('utf-16', 'surrogatepass').decode('utf-16').",
    )


def _of_container(path: str, part: object, above: list[int]) -> Fault | None:
    if not isinstance(part, (list, dict)):
        return None
    if id(cast("object", part)) in above:
        return Fault(
            f"{path} contains itself", "JSON has no references; store a copy without the cycle."
        )
    if len(above) >= MAX_DEPTH:
        return Fault(
            f"the value is nested deeper than {MAX_DEPTH} levels", "Split it over several keys."
        )
    names = list(cast("dict[object, object]", part)) if isinstance(part, dict) else []
    return next(filter(None, (_of_name(path, name) for name in names)), None)


def _of_name(path: str, name: object) -> Fault | None:
    if isinstance(name, str):
        return _of_text(f"{path} has the key {name!r}, which", name)
    kind = type(name).__name__
    return Fault(f"{path} has the key {name!r} of type {kind}", "JSON objects have text keys only.")
