"""What a checkpoint keeps of its channels, and what keeping it costs."""

from typing import Any

import pytest
from checkpoint_kit import MESSAGES, Chain, Face, checkpoint, config, values_of
from langchain_core.messages import AIMessage, HumanMessage

from botwire import Memory
from botwire_langchain import BotWireSaver
from botwire_langchain.checkpoint import values


@pytest.fixture
def saver(url: str, face: Face) -> Any:
    return face(BotWireSaver(url=url))


# -- values --------------------------------------------------------------------------------------


def test_every_checkpoint_of_a_growing_list_gives_its_own_list(saver: Any) -> None:
    chain = Chain(saver)
    saved = [chain.put(messages=MESSAGES[:count], n=count) for count in range(1, 31)]
    for count, where in enumerate(saved, start=1):
        assert values_of(saver, where) == {"messages": MESSAGES[:count], "n": count}
    assert values_of(saver, config())["messages"] == MESSAGES


def test_a_checkpoint_sends_what_changed_and_no_more(saver: Any, sent: list[int]) -> None:
    chain = Chain(saver)
    big = {"text": "y" * 10_000}
    for count in range(1, 31):
        chain.put(messages=MESSAGES[:count], **({"big": big} if count == 1 else {}))
    assert sent[0] > 10_000
    assert max(sent[2:]) < 3_500
    assert max(sent[20:]) - min(sent[5:15]) < 300


EDITS: dict[str, list[Any]] = {
    "one changed": [*MESSAGES[:10], HumanMessage("other", id="10"), *MESSAGES[11:]],
    "first removed": MESSAGES[1:],
    "last removed": MESSAGES[:-1],
    "turned around": MESSAGES[::-1],
    "emptied": [],
    "begun anew": [AIMessage("summary", id="s")],
    "the same": list(MESSAGES),
}


@pytest.mark.parametrize("edited", EDITS.values(), ids=EDITS.keys())
def test_an_edited_list_is_kept_beside_the_one_before(saver: Any, edited: list[Any]) -> None:
    chain = Chain(saver)
    before = chain.put(messages=MESSAGES)
    after = chain.put(messages=edited)
    further = chain.put(messages=[*edited, AIMessage("more", id="m")])
    assert values_of(saver, before)["messages"] == MESSAGES
    assert values_of(saver, after)["messages"] == edited
    assert values_of(saver, further)["messages"] == [*edited, AIMessage("more", id="m")]


def test_a_message_that_was_changed_in_place_is_saved_as_it_is_now(saver: Any) -> None:
    chain = Chain(saver)
    messages = [message.model_copy() for message in MESSAGES]
    before = chain.put(messages=messages)
    messages[3].content = "changed in place"
    after = chain.put(messages=messages)
    assert values_of(saver, before)["messages"][3] == MESSAGES[3]
    assert values_of(saver, after)["messages"][3].content == "changed in place"


def test_a_fork_keeps_its_own_values_and_leaves_the_others_alone(url: str, face: Face) -> None:
    saver = face(BotWireSaver(url=url))
    trunk = Chain(saver)
    root = trunk.put(messages=MESSAGES[:10])
    left = trunk.put(messages=[*MESSAGES[:10], HumanMessage("left", id="l")])
    fork = Chain(face(BotWireSaver(url=url)))
    fork.config, fork.versions, fork.values = root, {"messages": trunk.versions["messages"]}, {}
    right = fork.put(messages=[*MESSAGES[:10], HumanMessage("right", id="r")])
    again = fork.put(messages=[*fork.values["messages"], HumanMessage("on", id="o")])
    assert values_of(saver, left)["messages"][-1].content == "left"
    assert [m.content for m in values_of(saver, right)["messages"][10:]] == ["right"]
    assert [m.content for m in values_of(saver, again)["messages"][10:]] == ["right", "on"]


def test_two_savers_that_build_on_the_same_checkpoint_both_keep_their_lists(
    url: str, face: Face
) -> None:
    one, two = face(BotWireSaver(url=url)), face(BotWireSaver(url=url))
    root = Chain(one).put(messages=MESSAGES[:10])
    saved: list[tuple[Any, str]] = []
    for saver, name in ((one, "one"), (two, "two"), (one, "three"), (two, "four")):
        found = saver.get_tuple(root)
        chain = Chain(saver)
        chain.config, chain.versions = root, dict(found.checkpoint["channel_versions"])
        mine = [*found.checkpoint["channel_values"]["messages"], HumanMessage(name * 200, id=name)]
        saved.append((chain.put(messages=mine), name))
    for where, name in saved:
        for saver in (one, two):
            assert values_of(saver, where)["messages"][10:] == [HumanMessage(name * 200, id=name)]


def test_a_list_in_many_pieces_is_put_together_again(saver: Any) -> None:
    chain = Chain(saver)
    for turn in range(50):  # every turn replaces the last message, so every turn adds a piece
        chain.put(messages=[*MESSAGES[:5], *(AIMessage(f"{turn} {n}" * 99) for n in range(turn))])
        assert values_of(saver, config())["messages"] == chain.values["messages"]


def test_a_list_beyond_a_segment_goes_on_in_another(saver: Any) -> None:
    chain = Chain(saver)
    items = ["z" * 300_000 + str(number) for number in range(12)]
    for count in (1, 4, 5, 12):
        where = chain.put(items=items[:count])
        assert values_of(saver, where)["items"] == items[:count]


def test_a_segment_of_small_items_grows_no_larger_than_one_of_large_ones(
    saver: Any, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(values, "SEGMENT_BYTES", 2000)
    chain = Chain(saver)
    for count in range(200, 1000, 20):
        chain.put(items=list(range(count)))
    found = list(Memory("checkpoints", url=url).entries("v/"))
    assert len(found) > 3
    assert max(entry.bytes for entry in found) <= 2000 + 200


def test_saving_a_checkpoint_again_overwrites_it(saver: Any) -> None:
    saved = checkpoint({"a": "1.x"}, {"a": "first"})
    saver.put(config(), saved, {"step": 1}, {"a": "1.x"})
    saved["channel_values"] = {"a": ["second"] * 300}
    saver.put(config(), saved, {"step": 2}, {"a": "1.x"})
    found = saver.get_tuple(config())
    assert found.checkpoint["channel_values"] == {"a": ["second"] * 300}
    assert found.metadata["step"] == 2


def test_a_channel_that_was_emptied_is_gone_and_its_old_value_is_not(saver: Any) -> None:
    chain = Chain(saver)
    before = chain.put(a=1, b=2)
    chain.values = {"b": 2}
    versions = {**chain.versions, "a": chain.next(chain.versions["a"], None)}
    new = {"a": versions["a"]}
    after = saver.put(chain.config, checkpoint(versions, {"b": 2}), {}, new)
    assert values_of(saver, before) == {"a": 1, "b": 2}
    assert values_of(saver, after) == {"b": 2}
