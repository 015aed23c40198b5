"""Which items and namespaces a search means. Nothing here raises because of what an item holds.

The reference stores differ; where they do, this is what holds:

- Numbers are compared as numbers, texts as texts; anything else, or one of each, is never less or
  greater. A truth value is no number.
- A missing field is None: `{"n": None}` and `{"n": {"$ne": 1}}` match it, no order does.
- A condition that is an object without operators matches objects that have at least its members.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from langgraph.store.base import MatchCondition

__all__ = ["matches", "under"]

_orders: dict[str, Callable[[Any, Any], bool]] = {
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
}


def matches(value: Mapping[str, Any], conditions: Mapping[str, Any]) -> bool:
    """Whether an item's value meets all conditions.

    >>> matches({"n": 10}, {"n": {"$gt": 9, "$lte": 10}})
    True

    Raises:
        ValueError: there is no such operator.
    """
    return all(_meets(value.get(name), condition) for name, condition in conditions.items())


def _meets(value: Any, condition: Any) -> bool:
    if isinstance(condition, dict):
        members = cast("dict[str, Any]", condition)
        if any(name.startswith("$") for name in members):
            return all(_operate(value, name, other) for name, other in members.items())
        return isinstance(value, dict) and matches(cast("dict[str, Any]", value), members)
    if isinstance(condition, (list, tuple)):
        return _meets_each(value, cast("Sequence[Any]", condition))
    return isinstance(value, bool) == isinstance(condition, bool) and value == condition


def _meets_each(value: Any, conditions: Sequence[Any]) -> bool:
    if not isinstance(value, (list, tuple)):
        return False
    items = cast("Sequence[Any]", value)
    return len(items) == len(conditions) and all(map(_meets, items, conditions))


def _operate(value: Any, name: str, other: Any) -> bool:
    if name in ("$eq", "$ne"):
        return _meets(value, other) == (name == "$eq")
    if name not in _orders:
        known = ", ".join(["$eq", "$ne", *_orders])
        raise ValueError(f"there is no operator {name!r}; there are: {known}")
    return _comparable(value, other) and _orders[name](value, other)


def _comparable(value: Any, other: Any) -> bool:
    for kind in ((int, float), str):
        if isinstance(value, kind) and isinstance(other, kind):
            return not isinstance(value, bool) and not isinstance(other, bool)
    return False


def under(namespace: tuple[str, ...], conditions: Sequence[MatchCondition]) -> bool:
    """Whether a namespace begins or ends as the conditions say; "*" stands for any label."""
    return all(_fits(namespace, condition) for condition in conditions)


def _fits(namespace: tuple[str, ...], condition: MatchCondition) -> bool:
    labels, wanted = namespace, tuple(condition.path)
    if condition.match_type == "suffix":
        labels, wanted = labels[::-1], wanted[::-1]
    elif condition.match_type != "prefix":
        raise ValueError(
            f"a namespace is matched by prefix or suffix, not {condition.match_type!r}"
        )
    pairs = zip(labels, wanted, strict=False)
    return len(labels) >= len(wanted) and all(want in ("*", label) for label, want in pairs)
