"""The rules of a checkpointer that LangGraph's suite leaves out, and those only BotWire keeps."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import Checkpoint
from langgraph.checkpoint.base.id import uuid6
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.types import ERROR, INTERRUPT, RESUME
from pydantic import BaseModel

from botwire import Memory
from botwire.errors import InvalidRequest
from botwire_langchain import BotWireSaver

Face = Callable[[Any], Any]


@pytest.fixture
def saver(url: str, face: Face) -> Any:
    return face(BotWireSaver(url=url))


def config(thread: Any = "t", checkpoint_id: str | None = None, ns: str = "") -> RunnableConfig:
    named = {} if checkpoint_id is None else {"checkpoint_id": checkpoint_id}
    return {"configurable": {"thread_id": thread, "checkpoint_ns": ns, **named}}


def checkpoint(versions: dict[str, Any], values: dict[str, Any], step: int = 0) -> Checkpoint:
    return {
        "v": 4,
        "id": str(uuid6(clock_seq=step)),
        "ts": "2026-11-20T00:00:00+00:00",
        "channel_values": values,
        "channel_versions": versions,
        "versions_seen": {"node": dict(versions)},
        "updated_channels": None,
    }


class Chain:
    """Saves one checkpoint after the other, each the child of the one before."""

    def __init__(self, saver: Any, thread: Any = "t", ns: str = "") -> None:
        self.saver, self.thread, self.ns = saver, thread, ns
        self.versions: dict[str, Any] = {}
        self.values: dict[str, Any] = {}
        self.config = config(thread, ns=ns)
        self.next = getattr(saver, "target", saver).get_next_version

    def put(self, metadata: dict[str, Any] | None = None, **changed: Any) -> RunnableConfig:
        new = {name: self.next(self.versions.get(name), None) for name in changed}
        self.versions = {**self.versions, **new}
        self.values = {**self.values, **changed}
        saved = checkpoint(dict(self.versions), dict(self.values))
        self.config = self.saver.put(self.config, saved, metadata or {"step": 0}, new)
        return self.config


def values_of(saver: Any, where: RunnableConfig) -> dict[str, Any]:
    return saver.get_tuple(where).checkpoint["channel_values"]


# -- values --------------------------------------------------------------------------------------

MESSAGES = [HumanMessage(f"question {n} " + "x" * 400, id=str(n)) for n in range(30)]


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


# -- writes --------------------------------------------------------------------------------------


def writes_of(saver: Any, where: RunnableConfig) -> list[Any]:
    return saver.get_tuple(where).pending_writes


def test_pending_writes_come_in_the_order_of_task_path_task_and_index(saver: Any) -> None:
    where = Chain(saver).put(a=1)
    saver.put_writes(where, [("x", 1), ("y", 2)], "task-a", "~pull, 2")
    saver.put_writes(where, [("x", 3)], "task-b", "~pull, 1")
    saver.put_writes(where, [("x", 4)], "task-z")
    assert [write[2] for write in writes_of(saver, where)] == [4, 3, 1, 2]


def test_of_a_write_that_comes_twice_the_first_counts_and_of_special_ones_the_last(
    saver: Any,
) -> None:
    where = Chain(saver).put(a=1)
    saver.put_writes(where, [("x", "first"), (INTERRUPT, "i1")], "task")
    saver.put_writes(where, [("x", "second"), (INTERRUPT, "i2"), ("y", "new")], "task")
    saver.put_writes(where, [(ERROR, "e")], "task")
    saver.put_writes(where, [(RESUME, "r1")], "task")
    saver.put_writes(where, [(RESUME, "r2")], "task")
    found = {channel: value for _, channel, value in writes_of(saver, where)}
    assert found == {"x": "first", INTERRUPT: "i2", "y": "new", ERROR: "e", RESUME: "r2"}


def test_writes_may_come_before_their_checkpoint_and_are_not_seen_until_then(saver: Any) -> None:
    saved = checkpoint({}, {})
    saver.put_writes(config("t", saved["id"]), [("x", 1)], "task")
    assert saver.get_tuple(config()) is None
    assert saver.get_tuple(config("t", saved["id"])) is None
    assert list(saver.list(config())) == []
    where = saver.put(config(), saved, {}, {})
    assert [write[2] for write in writes_of(saver, where)] == [1]


def test_tasks_that_write_at_once_lose_nothing(url: str) -> None:
    saver = BotWireSaver(url=url)
    where = Chain(saver).put(a=1)

    def work(task: int) -> None:
        for index in range(10):
            saver.put_writes(where, [("x", [task, index])], f"task-{task}-{index}")

    threads = [threading.Thread(target=work, args=(task,)) for task in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(writes_of(saver, where)) == 80


# -- names ---------------------------------------------------------------------------------------

NAMES = ["a", "ab", "a/b", "a/", "/", "", "a%2Fb", "\ud800", "a\x00b", "~", "é" * 300, "é" * 301]


def test_threads_and_namespaces_never_mix_whatever_their_names(saver: Any) -> None:
    for thread in NAMES:
        for ns in ("", "x", "x/y", "n" * 500):
            Chain(saver, thread, ns).put({"at": f"{thread} {ns}".encode(errors="replace")}, a=1)
    assert len(list(saver.list(None))) == 4 * len(NAMES)
    for thread in NAMES:
        found = list(saver.list({"configurable": {"thread_id": thread}}))
        assert {one.config["configurable"]["thread_id"] for one in found} == {thread}
        assert sorted(one.config["configurable"]["checkpoint_ns"] for one in found) == [
            "",
            "n" * 500,
            "x",
            "x/y",
        ]
        saver.delete_thread(thread)
    assert list(saver.list(None)) == []


@pytest.mark.parametrize("thread", [123, UUID(int=5), 1.5])
def test_a_thread_id_of_any_type_is_taken_as_text(saver: Any, thread: Any) -> None:
    Chain(saver, thread).put(a=1)
    for name in (thread, str(thread)):
        assert saver.get_tuple(config(name)) is not None
        assert len(list(saver.list({"configurable": {"thread_id": name}}))) == 1
    saver.delete_thread(thread)
    assert saver.get_tuple(config(thread)) is None


def test_a_config_without_a_thread_is_an_error(saver: Any) -> None:
    with pytest.raises(KeyError, match="thread_id"):
        saver.get_tuple({"configurable": {}})


# -- lists ---------------------------------------------------------------------------------------


def test_all_threads_are_listed_newest_first_and_filtered_by_metadata(saver: Any) -> None:
    one, two = Chain(saver, "one"), Chain(saver, "two", "ns")
    for step in range(3):
        one.put({"step": step, "nested": {"a": 1, "b": 2}}, a=step)
        two.put({"step": step, "user": "ada"}, a=step)
    steps = [
        (found.config["configurable"]["thread_id"], found.metadata["step"])
        for found in saver.list(None)
    ]
    assert steps == [("two", 2), ("one", 2), ("two", 1), ("one", 1), ("two", 0), ("one", 0)]

    def count(**conditions: Any) -> int:
        return len(list(saver.list(None, filter=conditions)))

    assert count(step=1) == 2
    assert count(step="1") == 0
    assert count(step=1, user="ada") == 1
    assert count(user=None) == 3
    assert count(nested={"a": 1}) == 0
    assert count(nested={"a": 1, "b": 2}) == 3
    assert count(**{"step'; DROP TABLE entries; --": 1}) == 0


def test_limits_and_the_end_of_a_listing(saver: Any) -> None:
    chain = Chain(saver)
    saved = [chain.put({"step": step}, a=step) for step in range(45)]
    assert [found.metadata["step"] for found in saver.list(config())] == list(range(44, -1, -1))
    assert [found.metadata["step"] for found in saver.list(config(), limit=2)] == [44, 43]
    assert [found.metadata["step"] for found in saver.list(config(), before=saved[2])] == [1, 0]
    assert list(saver.list(config(), limit=0)) == []
    assert list(saver.list(config(), limit=-1)) == []
    assert [found.metadata["step"] for found in saver.list(saved[7])] == [7]


def test_metadata_is_kept_whole_with_what_the_run_says(saver: Any) -> None:
    where: RunnableConfig = {**config(), "metadata": {"user": "ada", "run_id": "r1", "o": object()}}
    metadata = {"step": 1, "counters_since_delta_snapshot": {"m": (1, 2)}, "writes": {"x": 1}}
    saver.put(where, checkpoint({}, {}), metadata, {})
    found = saver.get_tuple(config()).metadata
    assert found["user"] == "ada"
    assert list(found["counters_since_delta_snapshot"]["m"]) == [1, 2]
    assert "writes" not in found
    assert "o" not in found


# -- the serializer ------------------------------------------------------------------------------


class Mine(BaseModel):
    x: int


def test_only_known_classes_are_built_when_a_checkpoint_is_read(url: str, face: Face) -> None:
    Chain(face(BotWireSaver(url=url))).put(a=Mine(x=1), m=MESSAGES[0], u=UUID(int=1))
    strict = values_of(face(BotWireSaver(url=url)), config())
    assert strict == {"a": {"x": 1}, "m": MESSAGES[0], "u": UUID(int=1)}
    allowing = face(BotWireSaver(url=url, allow=[Mine]))
    assert values_of(allowing, config())["a"] == Mine(x=1)
    with_more = BotWireSaver(url=url).with_allowlist([(Mine.__module__, "Mine")])
    assert with_more.get_tuple(config()).checkpoint["channel_values"]["a"] == Mine(x=1)


def test_a_serializer_of_ones_own_brings_its_own_allowlist(url: str) -> None:
    with pytest.raises(InvalidRequest, match="allow="):
        BotWireSaver(url=url, serde=InMemorySaver().serde, allow=[Mine])


class Xor:
    """A cipher, though not a good one; what counts is that it never gives the same bytes twice."""

    def encrypt(self, plaintext: bytes) -> tuple[str, bytes]:
        salt = uuid4().bytes
        return "xor", salt + bytes(byte ^ salt[n % 16] for n, byte in enumerate(plaintext))

    def decrypt(self, ciphername: str, ciphertext: bytes) -> bytes:
        assert ciphername == "xor"
        salt, data = ciphertext[:16], ciphertext[16:]
        return bytes(byte ^ salt[n % 16] for n, byte in enumerate(data))


def test_an_encrypted_thread_is_unreadable_in_the_store_and_costs_no_more(
    url: str, face: Face, sent: list[int]
) -> None:
    from langgraph.checkpoint.serde.encrypted import EncryptedSerializer

    saver = face(BotWireSaver(url=url, serde=EncryptedSerializer(Xor())))
    chain = Chain(saver)
    for count in range(1, 21):
        where = chain.put({"secret": "metadata"}, messages=MESSAGES[:count], a="secret")
    saver.put_writes(where, [("x", "secret")], "task")
    assert max(sent[2:]) < 4_000
    again = face(BotWireSaver(url=url, serde=EncryptedSerializer(Xor())))
    found = again.get_tuple(config())
    assert found.checkpoint["channel_values"] == {"messages": MESSAGES[:20], "a": "secret"}
    assert found.metadata["secret"] == "metadata"
    assert found.pending_writes == [("task", "x", "secret")]
    stored = str(list(Memory("checkpoints", url=url).items()))
    assert "msgpack+xor:" in stored


# -- versions ------------------------------------------------------------------------------------


def test_versions_rise_as_text_and_differ_between_forks(url: str) -> None:
    saver = BotWireSaver(url=url)
    version = None
    seen: list[str] = []
    for _ in range(1200):
        version = saver.get_next_version(version, None)
        seen.append(version)
    assert seen == sorted(set(seen))
    assert saver.get_next_version(seen[5], None) != saver.get_next_version(seen[5], None)
    postgres = f"{7:032}.0.1234567890123456"
    assert saver.get_next_version(postgres, None) > postgres
    assert saver.get_next_version(41, None).startswith("0000000042.")


# -- round trips ---------------------------------------------------------------------------------


def test_saving_and_writing_are_one_round_trip_each(saver: Any, round_trips: list[str]) -> None:
    chain = Chain(saver)
    where = chain.put(messages=MESSAGES, a=1, big="x" * 9999)
    assert len(round_trips) == 1
    saver.put_writes(where, [("x", 1), ("y", 2)], "task")
    assert len(round_trips) == 2
    chain.put({"run_id": "run"}, messages=[*MESSAGES, AIMessage("x")])
    assert len(round_trips) == 3


# -- compared with the reference -------------------------------------------------------------------

threads, backs = st.sampled_from("tu"), st.integers(0, 3)
texts = st.lists(st.text(max_size=900), max_size=4)
actions = st.lists(
    st.tuples(st.just("add"), threads, backs, texts)
    | st.tuples(st.just("edit"), threads, backs, st.integers(0, 9))
    | st.tuples(st.just("write"), threads, backs, st.sampled_from("xyz"))
    | st.tuples(st.just("forget"), threads, backs, st.none()),
    max_size=14,
)


class Twins:
    """The reference saver and ours, to which the same happens."""

    def __init__(self) -> None:
        memory = Memory(str(uuid4()), url="memory://")
        self.reference, self.ours = InMemorySaver(), BotWireSaver(memory=memory)
        self.saved: dict[str, list[RunnableConfig]] = {"t": [], "u": []}

    def do(self, kind: str, thread: str, back: int, what: Any) -> None:
        getattr(self, kind)(thread, self.saved[thread][-1 - back :][:1], what)

    def add(self, thread: str, parent: list[RunnableConfig], texts: list[str]) -> None:
        self._put(thread, parent, lambda items: [*items, *texts])

    def edit(self, thread: str, parent: list[RunnableConfig], at: int) -> None:
        self._put(thread, parent, lambda items: [*items[:at], "edited", *items[at + 1 :]])

    def _put(self, thread: str, parent: list[RunnableConfig], change: Any) -> None:
        where = parent[0] if parent else config(thread)
        found = self.reference.get_tuple(where) if parent else None
        values = found.checkpoint["channel_values"] if found else {}
        versions = found.checkpoint["channel_versions"] if found else {}
        new = {"items": self.ours.get_next_version(versions.get("items"), None)}
        items = change(values.get("items", []))
        saved = checkpoint({**versions, **new}, {**values, "items": items})
        for saver in (self.reference, self.ours):
            stored = saver.put(where, saved, {"step": len(items)}, new)
        self.saved[thread].append(stored)

    def write(self, thread: str, parent: list[RunnableConfig], channel: str) -> None:
        for where in parent:
            for saver in (self.reference, self.ours):
                saver.put_writes(where, [(channel, thread), ("items", [channel])], channel, channel)

    def forget(self, thread: str, parent: list[RunnableConfig], _: None) -> None:
        self.saved[thread].clear()
        for saver in (self.reference, self.ours):
            saver.delete_thread(thread)


@settings(max_examples=80, deadline=None)
@given(actions=actions)
def test_it_agrees_with_the_reference_saver_whatever_happens(actions: list[Any]) -> None:
    """Random histories with forks, edits, repeated writes on both; all checkpoints compared."""
    twins = Twins()
    for action in actions:
        twins.do(*action)
    for thread, saved in twins.saved.items():
        listed = [
            map(_comparable, saver.list(config(thread))) for saver in (twins.reference, twins.ours)
        ]
        assert list(listed[1]) == list(listed[0])
        for where in saved:
            ours, reference = twins.ours.get_tuple(where), twins.reference.get_tuple(where)
            assert _comparable(ours) == _comparable(reference)


def _comparable(found: Any) -> Any:
    return (
        found.config["configurable"],
        found.checkpoint,
        found.metadata,
        found.parent_config,
        found.pending_writes,
    )


def test_one_saver_serves_threads_and_several_event_loops(url: str) -> None:
    saver = BotWireSaver(url=url)
    chain = Chain(saver)
    for number in range(3):
        chain.put(a=number)
        found = asyncio.run(saver.aget_tuple(config()))
        assert found is not None
        assert found.checkpoint["channel_values"] == {"a": number}
