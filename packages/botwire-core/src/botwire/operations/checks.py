"""What the fields of an operation must be. Each check returns nothing or raises."""

from collections.abc import Iterable
from typing import cast

from botwire.errors import InvalidKey, InvalidRequest
from botwire.jsontext import Json

__all__ = [
    "condition",
    "expiry",
    "flag",
    "json_text",
    "listed",
    "name_text",
    "names",
    "prefix_text",
    "seconds",
    "shown",
    "whole",
]

MAX_KEY_BYTES = 512
MAX_SECONDS = 1e11  # a ttl of three thousand years is taken for a mistake


def name_text(text: object, what: str) -> None:
    if not isinstance(text, str):
        raise InvalidKey(f"{what} must be text, not {type(text).__name__}", hint="Use str(...).")
    if not text:
        raise InvalidKey(f"{what} is empty", hint="Give it a name of at least one character.")
    if len(text) * 4 > MAX_KEY_BYTES or "\0" in text or not text.isascii():
        _unusual_name(text, what)


def _unusual_name(text: str, what: str) -> None:
    if "\0" in text:
        raise InvalidKey(f"{what} {text[:60]!r} holds a NUL character", hint="Leave it out.")
    try:
        length = len(text.encode())
    except UnicodeEncodeError:
        raise InvalidKey(
            f"{what} {text[:60]!r} holds half a surrogate pair, which is no text"
        ) from None
    if length > MAX_KEY_BYTES:
        raise InvalidKey(
            f"{what} {text[:60]!r}... has {length} bytes; at most {MAX_KEY_BYTES} are possible",
            hint="Shorten it, or use a hash of it.",
        )


def listed(keys: object) -> tuple[str, ...]:
    """Several keys. One text is no list of keys: Python would take it for its characters."""
    if isinstance(keys, (str, bytes, dict)) or not isinstance(keys, Iterable):
        kind = type(cast("object", keys)).__name__
        raise InvalidRequest(f"keys must be a list of keys, not of type {kind}", hint="Use [key].")
    return tuple(cast("Iterable[str]", keys))


def names(keys: object) -> tuple[str, ...]:
    several = listed(keys)
    for key in several:
        name_text(key, "key")
    return several


def prefix_text(text: object) -> None:
    if text != "":
        name_text(text, "prefix")


def shown(value: object) -> str:
    """The value in a message: short, and of any size (Python refuses to print huge integers)."""
    try:
        text = repr(value)
    except ValueError:
        return "a number of more than 4,300 digits"
    return text if len(text) <= 60 else f"{text[:60]}..."


def whole(number: object, what: str, least: int = 0) -> None:
    if type(number) is not int or number < least or number >= 2**63:
        raise InvalidRequest(f"{what} must be a whole number from {least} up, not {shown(number)}")


def seconds(ttl: object) -> None:
    if ttl is None:
        return
    if isinstance(ttl, bool) or not isinstance(ttl, (int, float)) or not 0 < ttl <= MAX_SECONDS:
        raise InvalidRequest(
            f"ttl must be a number of seconds above 0, not {shown(ttl)}",
            hint="Leave ttl out for an entry that does not expire; delete(key) ends one now.",
        )


def flag(value: object, what: str) -> None:
    if type(value) is not bool:
        raise InvalidRequest(f"{what} must be True or False, not {shown(value)}")


def expiry(ttl: object, sliding: object) -> None:
    seconds(ttl)
    flag(sliding, "sliding")
    if sliding and ttl is None:
        raise InvalidRequest(
            "sliding needs a ttl", hint="Say how long it lives unread: ttl=7 * 86400."
        )


def condition(if_version: object) -> None:
    if if_version is not None:
        whole(if_version, "if_version")


def json_text(value: object) -> None:
    if not isinstance(value, Json):
        raise InvalidRequest(
            "the value must be checked JSON text", hint="Use jsontext.encode(value)."
        )
