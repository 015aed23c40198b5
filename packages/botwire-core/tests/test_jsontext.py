"""JSON as text: what goes in comes back, what is not JSON is refused, parts stay as written."""

import json
import math
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from botwire.errors import InvalidValue
from botwire.jsontext import (
    MAX_DEPTH,
    Json,
    check,
    decode,
    elements,
    encode,
    members,
    merge,
    within,
    write,
)
from botwire.testing.contract.kit import exact
from botwire.testing.contract.updates import MERGE_PATCHES
from botwire.testing.contract.values import REFUSED, VALUES
from botwire.testing.model import merged

fast = settings(max_examples=100, deadline=None)

texts = st.text(st.characters(), max_size=20)  # lone surrogates are among them
hugest = st.integers(-9, 9).map(lambda number: number * 10**5000)
numbers = (
    st.integers()
    | st.integers(-(2**70), 2**70)
    | hugest
    | st.floats(allow_nan=False, allow_infinity=False)
)
scalars = st.none() | st.booleans() | numbers | texts
names = st.text(st.characters(), max_size=8)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(names, inner, max_size=5),
    max_leaves=25,
)


def holds_surrogate_pair(value: Any) -> bool:
    return any(
        "\ud800" <= text[at] <= "\udbff" and "\udc00" <= text[at + 1] <= "\udfff"
        for text in _texts_in(value)
        for at in range(len(text) - 1)
    )


def _texts_in(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [*value, *(text for part in value.values() for text in _texts_in(part))]
    return [text for part in value for text in _texts_in(part)] if isinstance(value, list) else []


possible = anything.filter(lambda value: not holds_surrogate_pair(value))
objects = st.dictionaries(names, possible, max_size=5).filter(
    lambda value: not holds_surrogate_pair(value)
)


def spaced(value: Any) -> str:
    """The same JSON as somebody else may write it: white space and escapes everywhere."""
    if isinstance(value, dict):
        pairs = (f" {json.dumps(name)} :\n{spaced(part)}\t" for name, part in value.items())
        return "{" + ",".join(pairs) + " }"
    if isinstance(value, list):
        return "[ " + " , ".join(map(spaced, value)) + "\r\n]"
    return str(encode(value)) if isinstance(value, int) else json.dumps(value)


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_every_unusual_value_comes_back_exactly(value: Any) -> None:
    assert exact(decode(encode(value))) == exact(value)
    assert check(encode(value)) == encode(value)


@fast
@given(possible)
def test_every_json_value_comes_back_exactly(value: Any) -> None:
    text = encode(value)
    assert exact(decode(text)) == exact(value)
    assert check(text) == text
    text.encode()  # it is text that UTF-8 can carry


@fast
@given(anything)
def test_what_is_accepted_comes_back_and_what_would_change_is_refused(value: Any) -> None:
    try:
        text = encode(value)
    except InvalidValue:
        assert holds_surrogate_pair(value)
    else:
        assert exact(decode(text)) == exact(value)


@fast
@given(possible)
def test_text_from_others_is_kept_as_it_was_written(value: Any) -> None:
    text = spaced(value)
    assert check(f" \n{text}\t") == text
    assert exact(decode(check(text))) == exact(value)


@fast
@given(objects)
def test_members_are_slices_of_the_text(value: dict[str, Any]) -> None:
    assert {name: exact(decode(part)) for name, part in members(spaced(value)).items()} == {
        name: exact(part) for name, part in value.items()
    }
    assert list(members(spaced(value)).items()) == [(n, spaced(p)) for n, p in value.items()]


@fast
@given(st.lists(possible, max_size=6))
def test_elements_are_slices_of_the_text(value: list[Any]) -> None:
    assert elements(spaced(value)) == [spaced(part) for part in value]


@fast
@given(possible)
def test_writing_plain_data_leaves_json_parts_alone(value: Any) -> None:
    part = Json(spaced(value))
    assert write({"a": [part], "b": None}) == f'{{"a":[{part}],"b":null}}'
    assert write(value) == encode(value)


few_names = st.sampled_from(["a", "b", "c", "\u00e9", ""])
patches = st.recursive(
    st.none() | st.integers(0, 2) | st.booleans() | st.sampled_from(["x", 0.0, -0.0]) | hugest,
    lambda inner: st.dictionaries(few_names, inner, max_size=4) | st.lists(inner, max_size=2),
    max_leaves=12,
)


@fast
@given(patches, patches)
def test_merging_texts_is_merging_values(target: Any, patch: Any) -> None:
    text = merge(Json(spaced(target)), encode(patch))
    assert exact(decode(check(text))) == exact(merged(target, patch))


@fast
@given(patches, patches)
def test_a_merge_that_changes_nothing_leaves_the_very_text(target: Any, patch: Any) -> None:
    text = Json(spaced(target))
    if exact(merged(target, patch)) != exact(target):
        assert decode(merge(text, encode(patch))) is not None or patch is None
    elif isinstance(patch, dict) and isinstance(target, dict) and not _mentions_lists(patch):
        assert merge(text, encode(patch)) == text


def _mentions_lists(patch: Any) -> bool:
    if isinstance(patch, dict):
        return any(_mentions_lists(part) for part in patch.values())
    return isinstance(patch, list)


@pytest.mark.parametrize(("target", "patch", "result"), MERGE_PATCHES)
def test_merge_follows_rfc_7396(target: Any, patch: Any, result: Any) -> None:
    assert exact(decode(merge(encode(target), encode(patch)))) == exact(result)


def test_what_a_patch_does_not_name_keeps_its_text() -> None:
    target = '{ "a" : 1.50, "b":[ 1e2 ], "c": {"d" : 1E400x, "e":"\\u0061"} }'.replace(
        "1E400x", "7.0"
    )
    assert merge(target, '{"x":1}') == (
        '{"a":1.50,"b":[ 1e2 ],"c":{"d" : 7.0, "e":"\\u0061"},"x":1}'
    )
    assert merge(target, '{"c":{"d":null}}') == '{"a":1.50,"b":[ 1e2 ],"c":{"e":"\\u0061"}}'


@fast
@given(st.text(st.sampled_from('[]{}",:\\u0d8e1+-.E ntrfalsi\x00\n\t'), max_size=30))
@example("-")
@example("01")
@example("1.")
@example("\ufeff1")
@example("[1" + "0" * 5000 + ",]")
@example("1" + "0" * 5000 + "x")
@example("[1" + "0" * 5000 + ",NaN]")
def test_nothing_but_json_is_json(text: str) -> None:
    try:
        kept = check(text)
    except InvalidValue:
        assert not _is_json(text)
    else:
        assert _is_json(text)
        assert kept == text.strip(" \t\n\r")


def _is_json(text: str) -> bool:
    """What the standard library calls JSON, without the constants that it adds."""

    def refuse(name: str) -> None:
        raise ValueError(name)

    def finite(number: str) -> float:
        return float(number) if math.isfinite(float(number)) else refuse(number)  # type: ignore[return-value]

    try:
        json.loads(text, parse_constant=refuse, parse_float=finite, parse_int=lambda digits: 0)
    except (ValueError, RecursionError):
        return False
    return True


NOT_JSON = [
    *("nul", "None", "'a'", "[1,]", "{1:2}", '{"a"}', '{"a":}', "[1 2]", "1 2", "[", "{", "+1"),
    *("NaN", "Infinity", "-Infinity", "[NaN]", '{"a":-Infinity}', "1e999", "[-1e999]", "\x00"),
    *('"\n"', '"\\x"', '"\\u12"', '"a', "\u00a01", "1\u00a0", "tru\u0435", "\u0663"),
    *("1" * 5000 + ",", "[" + "1" * 5000, "[" + "1" * 5000 + ",NaN]", '{"a":1' + "0" * 5000),
]


def test_what_json_refuses_is_refused() -> None:
    for text in NOT_JSON:
        for read, document in (
            (check, text),
            (members, f'{{"k":{text}}}'),
            (elements, f"[{text}]"),
        ):
            with pytest.raises(InvalidValue):
                read(document)
    for read, document in ((check, ""), (check, " "), (members, "[]"), (elements, "{}")):
        with pytest.raises(InvalidValue):
            read(document)


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_depth_is_limited_at_the_same_level_everywhere(opening: str) -> None:
    closing = "]" if opening == "[" else "}"

    def nested(levels: int) -> str:
        inner = "" if opening == "[" else "1"
        return opening * levels + inner + closing * levels

    assert check(nested(MAX_DEPTH)) == nested(MAX_DEPTH)
    assert encode(decode(nested(MAX_DEPTH))) == nested(MAX_DEPTH)
    assert within(nested(MAX_DEPTH)) == nested(MAX_DEPTH)
    for levels in (MAX_DEPTH + 1, 900, 100_000):
        for read in (check, within):
            with pytest.raises(InvalidValue, match="nested deeper than 200 levels"):
                read(nested(levels))
    with pytest.raises(InvalidValue, match="nested deeper than 200 levels"):
        encode(decode(nested(MAX_DEPTH + 1)))


def test_brackets_inside_texts_are_no_levels() -> None:
    assert decode(encode(["[{" * 5000])) == ["[{" * 5000]


@pytest.mark.parametrize(("value", "where"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_json_is_refused_with_its_place(value: Any, where: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        encode(value)
    assert where in refused.value.detail
    assert refused.value.hint


def test_a_value_may_hold_one_part_twice() -> None:
    part = {"a": [1]}
    assert decode(encode([part, part])) == [part, part]


def test_an_integer_of_any_size_is_read_and_written() -> None:
    for digits in (4299, 4300, 4301, 20_000):
        number = 10**digits + 1
        assert decode(encode(number)) == number
        assert decode(encode({"n": [-number]})) == {"n": [-number]}
