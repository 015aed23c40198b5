"""The checker itself: it accepts what can be explained and nothing else."""

import random
from typing import Any

import pytest
from history import MISSING, UNKNOWN, Call, State, explain, step
from hypothesis import given, settings
from hypothesis import strategies as st


def calls(*rows: tuple[Any, ...]) -> list[Call]:
    return [
        Call(kind, argument, result, began, ended) for kind, argument, result, began, ended in rows
    ]


INF = float("inf")
RIGHT = {
    "nothing": calls(),
    "one after the other": calls(("set", "a", 1, 0, 1), ("get", None, ("a", 1), 2, 3)),
    "a read during a write sees it": calls(("set", "a", 1, 0, 9), ("get", None, ("a", 1), 1, 2)),
    "a read during a write does not": calls(("set", "a", 1, 0, 9), ("get", None, MISSING, 1, 2)),
    "a lost write happened": calls(
        ("set", "a", UNKNOWN, 0, INF), ("get", None, MISSING, 1, 2), ("get", None, ("a", 5), 3, 4)
    ),
    "a lost write did not": calls(("set", "a", UNKNOWN, 0, INF), ("get", None, MISSING, 1, 2)),
    "two writers": calls(
        ("set", "a", 2, 0, 5), ("set", "b", 1, 0, 5), ("get", None, ("a", 2), 6, 7)
    ),
    "compare and set": calls(
        ("set", "a", 1, 0, 1),
        ("cas", ("b", 1), 2, 2, 5),
        ("cas", ("c", 1), ("conflict", "b", 2), 2, 5),
    ),
    "delete": calls(
        ("set", "a", 1, 0, 1), ("delete", None, True, 2, 3), ("delete", None, False, 4, 5),
        ("cas", ("b", 0), 3, 6, 7),
    ),
}  # fmt: skip
WRONG = {
    "a write is lost": calls(("set", "a", 1, 0, 1), ("get", None, MISSING, 2, 3)),
    "an old value comes back": calls(
        ("set", "a", 1, 0, 1), ("set", "b", 2, 2, 3), ("get", None, ("a", 1), 4, 5)
    ),
    "two readers disagree on the order": calls(
        ("set", "a", 1, 0, 9), ("get", None, ("a", 1), 1, 2), ("get", None, MISSING, 3, 4)
    ),
    "a version falls": calls(("set", "a", 5, 0, 1), ("set", "b", 4, 2, 3)),
    "a version is given twice": calls(("set", "a", 5, 0, 1), ("set", "b", 5, 2, 3)),
    "a version comes back after a delete": calls(
        ("set", "a", 5, 0, 1), ("delete", None, True, 2, 3), ("set", "b", 5, 4, 5)
    ),
    "two win one race": calls(
        ("set", "a", 1, 0, 1), ("cas", ("b", 1), 2, 2, 5), ("cas", ("c", 1), 3, 2, 5)
    ),
    "a conflict without a reason": calls(
        ("set", "a", 1, 0, 1), ("cas", ("b", 1), ("conflict", "x", 9), 2, 3)
    ),
    "a value from nowhere": calls(("get", None, ("a", 1), 0, 1)),
    "a lost write happens twice": calls(
        ("set", "a", UNKNOWN, 0, INF),
        ("get", None, ("a", 5), 1, 2),
        ("set", "b", 6, 3, 4),
        ("get", None, ("a", 7), 5, 6),
    ),
    "deleted twice": calls(
        ("set", "a", 1, 0, 1), ("delete", None, True, 2, 3), ("delete", None, True, 4, 5)
    ),
}


@pytest.mark.parametrize("name", RIGHT)
def test_what_can_be_explained_is_right(name: str) -> None:
    order = explain(RIGHT[name])
    assert order is not None
    answered = [call for call in RIGHT[name] if call.ended < INF]
    assert [call for call in order if call in answered] == sorted(answered, key=order.index)


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_explained_is_wrong(name: str) -> None:
    assert explain(WRONG[name]) is None


def _run(seed: int, lost: bool) -> list[Call]:
    """What several clients see of one real register: by construction it can be explained."""
    chance = random.Random(seed)
    state, version, history = State(), 0, []
    known = [0]  # versions that somebody was told
    for moment in range(chance.randrange(1, 60)):
        kind = chance.choice(["get", "get", "set", "cas", "delete"])
        began = moment - chance.random() * 4
        ended = moment + chance.random() * 4
        argument, result, state, version = _act(kind, state, version, moment, known, chance)
        if lost and chance.random() < 0.15:
            result, ended = UNKNOWN, INF
        elif kind != "delete" and result != MISSING:
            known.append(result if isinstance(result, int) else result[-1])
        history.append(Call(kind, argument, result, began, ended))
    return history


def _act(
    kind: str, state: State, version: int, moment: int, known: list[int], chance: random.Random
) -> Any:
    missing = state.value == MISSING
    if kind == "get":
        return None, MISSING if missing else (state.value, state.version), state, version
    if kind == "delete":
        return None, not missing, State(), version + (not missing)
    value, expected = f"v{moment}", chance.choice([*known[-3:], 0])
    if kind == "cas" and expected != state.version:
        now = ("conflict", None, 0) if missing else ("conflict", state.value, state.version)
        return (value, expected), now, state, version
    argument = value if kind == "set" else (value, expected)
    return argument, version + 1, State(value, version + 1), version + 1


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 10**9), lost=st.booleans())
def test_what_really_happened_is_right(seed: int, lost: bool) -> None:
    assert explain(_run(seed, lost)) is not None


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 10**9))
def test_one_answer_changed_is_noticed(seed: int) -> None:
    history = _run(seed, lost=False)
    writes = [
        n for n, call in enumerate(history) if isinstance(call.result, int) and call.kind == "set"
    ]
    if len(writes) < 2:
        return
    again = history[writes[0]].result
    call = history[writes[1]]
    history[writes[1]] = Call(call.kind, call.argument, again, call.began, call.ended)
    assert explain(history) is None


def test_a_step_is_one_of_those_that_are_possible() -> None:
    state = State("a", 3, 3)
    assert step(state, Call("get", None, ("a", 3), 0)) == [state]
    assert step(state, Call("get", None, ("a", 4), 0)) == []
