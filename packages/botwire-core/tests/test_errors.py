"""Errors: the tree, what each carries, and its way over the wire, through pickle and copy."""

import copy
import json
import pickle
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from botwire import errors
from botwire.errors import BotWireError, Conflict, from_problem
from botwire.jsontext import Json, decode, encode, write


def kinds(root: type[BotWireError] = BotWireError) -> list[type[BotWireError]]:
    """All classes of this room, the root first."""
    below = (kind for child in root.__subclasses__() for kind in kinds(child))
    return [root, *(kind for kind in below if kind.__module__ == "botwire.errors")]


KINDS = pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.__name__)
FIELDS: dict[str, Any] = {"key": "a/b", "limit": 5, "reset_s": None, "nested": {"a": [1.5, "é"]}}


def example(kind: type[BotWireError]) -> BotWireError:
    return kind("what happened, and why: 'x'\n", hint="What to do.", **FIELDS)


def same(one: BotWireError, other: BotWireError) -> bool:
    return (
        type(one) is type(other)
        and (one.detail, one.hint, one.fields) == (other.detail, other.hint, other.fields)
        and str(one) == str(other)
        and one.args == other.args
    )


@KINDS
def test_every_error_survives_the_wire(kind: type[BotWireError]) -> None:
    error = example(kind)
    problem = decode(write(error.problem()))
    assert same(from_problem(error.status, problem), error)


@KINDS
def test_every_error_survives_pickle_and_copy(kind: type[BotWireError]) -> None:
    error = example(kind)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert same(pickle.loads(pickle.dumps(error, protocol)), error)
    assert same(copy.copy(error), error)
    assert same(copy.deepcopy(error), error)


@KINDS
def test_every_error_has_a_code_of_its_own_and_a_status_that_fits(
    kind: type[BotWireError],
) -> None:
    assert [other for other in kinds() if other.code == kind.code] == [kind]
    assert 400 <= kind.status <= 599
    assert kind.__doc__
    assert kind.title
    assert kind.__name__ in errors.__all__
    if match := re.match(r"BW-(\d+)", kind.code):
        assert int(match[1]) == kind.status


@KINDS
def test_the_drawing_of_the_tree_is_true(kind: type[BotWireError]) -> None:
    line = re.search(rf"^.*\b{kind.__name__}\b.*$", errors.__doc__ or "", re.MULTILINE)
    assert line, f"{kind.__name__} is not drawn"
    assert f" {kind.code} " in line[0] + " "
    for base in kind.__bases__:
        if not issubclass(base, BotWireError) and base is not Exception:
            assert f"({base.__name__})" in line[0]


@KINDS
def test_an_error_says_what_happened_and_what_to_do(kind: type[BotWireError]) -> None:
    error = example(kind)
    assert str(error) == "what happened, and why: 'x'\n\nWhat to do."
    assert str(kind("only this")) == "only this"
    assert error.key == "a/b"
    assert error.nested == {"a": [1.5, "é"]}
    with pytest.raises(AttributeError, match="has no field 'missing'"):
        _ = error.missing


@KINDS
def test_a_problem_is_what_rfc_9457_says(kind: type[BotWireError]) -> None:
    problem = example(kind).problem()
    assert problem["status"] == kind.status
    assert problem["title"] == kind.title
    assert problem["detail"].startswith("what happened")
    assert problem["type"].endswith(kind.code)
    assert isinstance(problem["retryable"], bool)
    json.dumps(problem)


def test_errors_are_what_python_would_raise() -> None:
    for kind, builtin in [
        (errors.InvalidValue, ValueError),
        (errors.WrongType, TypeError),
        (errors.NotFound, KeyError),
        (errors.Unreachable, ConnectionError),
        (errors.Timeout, TimeoutError),
        (errors.Timeout, ConnectionError),
    ]:
        assert issubclass(kind, builtin)


@pytest.mark.parametrize("value", [None, 1, "text", [1], {"a": 10**5000}, "\ud800"], ids=range(6))
def test_a_conflict_brings_the_value_through_everything(value: Any) -> None:
    conflict = Conflict("lost", key="k", expected=1, current_version=2, current_value=encode(value))
    wired = from_problem(412, decode(write(conflict.problem())))
    for twin in (conflict, wired, pickle.loads(pickle.dumps(conflict)), copy.deepcopy(wired)):
        assert isinstance(twin, Conflict)
        assert twin.current_value == value
        assert twin.current_version == 2


def test_a_text_that_looks_like_json_stays_a_text() -> None:
    wired = from_problem(412, decode(write(Conflict("", current_value=Json('"[1]"')).problem())))
    assert isinstance(wired, Conflict)
    assert wired.current_value == "[1]"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        *((400, "InvalidRequest"), (401, "Unauthorized"), (403, "Forbidden"), (404, "NotFound")),
        *((409, "WrongType"), (412, "Conflict"), (413, "TooLarge"), (422, "InvalidRequest")),
        *((429, "QuotaExceeded"), (500, "BotWireError"), (502, "Unavailable")),
        *((503, "Unavailable"), (504, "Timeout"), (507, "StorageFull"), (418, "BotWireError")),
    ],
)
def test_a_bare_status_of_a_proxy_becomes_the_nearest_error(status: int, kind: str) -> None:
    error = from_problem(status, {})
    assert type(error) is getattr(errors, kind)
    assert str(status) in error.detail


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=6,
)
odd_names = st.sampled_from(["self", "kind", "detail", "hint", "code", "args", "fields", "key", ""])


@settings(max_examples=100, deadline=None)
@given(st.integers(100, 599), st.dictionaries(st.text(max_size=9) | odd_names, plain, max_size=9))
def test_whatever_a_server_answers_becomes_an_error(status: int, problem: dict[str, Any]) -> None:
    error = from_problem(status, problem)
    assert isinstance(error, BotWireError)
    assert str(error)
    assert same(pickle.loads(pickle.dumps(error)), error)
