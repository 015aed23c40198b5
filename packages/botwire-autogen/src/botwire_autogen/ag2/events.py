"""Events of AG2 as JSON and back. Only classes on a list are ever made from what is stored.

AG2's own reader imports and calls whatever class the data names, so whoever can write to a store
runs code in every reader. A list of module names would not help: `ag2.any.subprocess.Popen` begins
with `ag2.`, too. Here:

- No name in the data is imported. It is looked up among classes that are loaded already.
- Events: those of AG2 itself, and those a caller allows.
- Other data: the classes that events of AG2 declare for their fields (such as a provider's own
  items), and those a caller allows. Exceptions: the built-in ones.
- An event of another class becomes AG2's `UnknownEvent`, which is stored as it was again; other
  data becomes plain data. A history always stays readable.
"""

import builtins
import typing
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, cast

from ag2.events import (
    BaseEvent,
    BinaryResult,
    BinaryType,
    Severity,
    ToolResult,
    UnknownEvent,
    Usage,
)
from ag2.task import TaskSpec, TaskState
from pydantic import BaseModel

from botwire.errors import InvalidValue
from botwire_autogen.codec import pack, unpack

__all__ = ["EventCodec"]

Class = type[Any]
DATA: tuple[Class, ...] = (
    *(BinaryResult, BinaryType, Severity, TaskSpec, TaskState, ToolResult, Usage),
)
ERRORS: tuple[Class, ...] = tuple(
    kind
    for kind in vars(builtins).values()
    if isinstance(kind, type) and issubclass(kind, Exception)
)
SIMPLE = (str, int, float, bool, type(None))


class EventCodec:
    """Writes events as JSON data and reads them.

    Args:
        allow: classes of the caller's own that may be made from stored data: events, data
            classes, pydantic models, enums.

    >>> from ag2.events import ModelMessage
    >>> codec = EventCodec()
    >>> codec.read(codec.write(ModelMessage("hi"))).content
    'hi'
    """

    def __init__(self, allow: Iterable[Class] = ()) -> None:
        self._allowed: dict[str, Class] = {}
        for kind in (*DATA, *ERRORS, *allow):
            self._allow(kind)

    def write(self, event: BaseEvent) -> Any:
        """The event as JSON data.

        Raises:
            InvalidValue: it holds something that is neither data nor an event.
        """
        return pack(event, _down)

    def read(self, data: Any) -> BaseEvent:
        """The event that was written.

        Raises:
            InvalidValue: the data is no event.
        """
        event = unpack(data, self._up)
        if not isinstance(event, BaseEvent):
            raise InvalidValue(f"a stored history holds a {type(event).__name__}, not an event")
        return event

    def _allow(self, kind: Class) -> None:
        if _name(kind) not in self._allowed:
            self._allowed[_name(kind)] = kind
            if issubclass(kind, BaseEvent):
                for declared in _declared(kind):
                    self._allow(declared)

    def _class(self, name: str, base: Class) -> Class | None:
        """The allowed class of this name, if it is one of `base`."""
        if name not in self._allowed:
            for kind in _subclasses(BaseEvent):  # a provider's may have been loaded since
                if kind.__module__.partition(".")[0] == "ag2":
                    self._allow(kind)
        kind = self._allowed.get(name)
        return kind if kind is not None and issubclass(kind, base) else None

    def _up(self, tag: str, value: dict[str, Any]) -> Any:
        if tag not in _MAKERS or set(value) != {"class", "data"}:
            raise InvalidValue(f"a stored history holds a {tag!r}, which is nothing of AG2")
        name, data = value["class"], value["data"]
        base, make = _MAKERS[tag]
        kind = self._class(name, base)
        try:
            return make(kind, data) if kind is not None else _unmade(tag, name, data)
        except (AttributeError, TypeError, ValueError):  # the class has changed since
            return _unmade(tag, name, data)


def _unmade(tag: str, name: str, data: Any) -> Any:
    if tag == "event":
        return UnknownEvent(type_name=name, data=data)
    return Exception(*data) if tag == "exception" else data


def _down(value: Any) -> tuple[str, Any] | None:
    kind = cast("Class", type(value))
    if isinstance(value, UnknownEvent):
        return _tagged("event", value.type_name, cast("dict[str, Any]", value.data))
    if isinstance(value, BaseEvent):
        held = vars(value)
        declared = _event_fields(kind)
        return _tagged("event", kind, {f: held[f] for f in held if f in declared})
    if isinstance(value, Enum):
        return _tagged("enum", kind, value.value)
    if isinstance(value, BaseModel):
        return _tagged("model", kind, value.model_dump(warnings=False))
    if isinstance(value, Exception):
        plain = kind in ERRORS and all(isinstance(part, SIMPLE) for part in value.args)
        known = (kind, value.args) if plain else (Exception, [str(value)])
        return _tagged("exception", known[0], list(known[1]))
    if is_dataclass(kind):
        return _tagged("dataclass", kind, {f: getattr(value, f) for f in _init_fields(kind)})
    return None


def _tagged(tag: str, kind: Class | str, data: Any) -> tuple[str, Any]:
    return tag, {"class": kind if isinstance(kind, str) else _name(kind), "data": data}


def _make_event(kind: Class, data: dict[str, Any]) -> Any:
    return kind(**{name: part for name, part in data.items() if name in _event_fields(kind)})


def _make_dataclass(kind: Class, data: dict[str, Any]) -> Any:
    return kind(**{name: part for name, part in data.items() if name in _init_fields(kind)})


_MAKERS: dict[str, tuple[Class, Callable[[Class, Any], Any]]] = {
    "event": (BaseEvent, _make_event),
    "enum": (Enum, lambda kind, data: kind(data)),
    "model": (BaseModel, lambda kind, data: kind.model_validate(data)),
    "dataclass": (object, _make_dataclass),
    "exception": (Exception, lambda kind, data: kind(*data)),
}


def _name(kind: Class) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


@cache
def _event_fields(kind: Class) -> frozenset[str]:
    """Names of the fields an event of this class is made with (as AG2 declares them)."""
    declared = {
        name: field
        for base in reversed(kind.__mro__)
        for name, field in getattr(base, "_event_fields_", {}).items()
    }
    return frozenset(n for n, field in declared.items() if field.init and not n.startswith("_"))


@cache
def _init_fields(kind: Class) -> frozenset[str]:
    return frozenset(field.name for field in fields(kind) if field.init)


def _subclasses(kind: Class) -> Iterator[Class]:
    for below in kind.__subclasses__():
        yield below
        yield from _subclasses(below)


@cache
def _declared(kind: Class) -> tuple[Class, ...]:
    """The data classes, models and enums that an event class declares for its fields."""
    try:
        hints = typing.get_type_hints(kind)
    except NameError:  # a name that only type checkers see
        return ()
    return tuple(named for hint in hints.values() for named in _named_in(hint))


def _named_in(hint: Any) -> Iterator[Class]:
    for part in typing.get_args(hint):
        yield from _named_in(part)
    if isinstance(hint, type) and (is_dataclass(hint) or issubclass(hint, (BaseModel, Enum))):
        yield hint
