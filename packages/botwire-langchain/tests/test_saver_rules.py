"""The rules of a checkpointer that LangGraph's suite leaves out, and those only BotWire keeps."""

import asyncio
import itertools
import os
import subprocess
import sys
import threading
from typing import Any
from uuid import UUID, uuid4

import pytest
from checkpoint_kit import MESSAGES, Chain, Face, checkpoint, config, values_of, writes_of
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.types import ERROR, INTERRUPT, RESUME
from pydantic import BaseModel

from botwire import Memory
from botwire.errors import InvalidRequest
from botwire_langchain import BotWireSaver
from botwire_langchain.checkpoint import versions


@pytest.fixture
def saver(url: str, face: Face) -> Any:
    return face(BotWireSaver(url=url))


# -- writes --------------------------------------------------------------------------------------


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


FORKED = """
import os, time
from botwire_langchain.checkpoint.versions import next_version

time.time_ns = lambda: 1  # what tells them apart must be something else
read, write = os.pipe()
if os.fork() == 0:
    os.write(write, next_version(None).encode())
    os._exit(0)
os.wait()
print(next_version(None), os.read(read, 100).decode())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_gives_other_versions_than_its_parent() -> None:
    program = [sys.executable, "-c", FORKED]
    ended = subprocess.run(program, capture_output=True, text=True, check=True)
    parents, childs = ended.stdout.split()
    assert parents != childs


def test_a_process_restored_from_a_picture_of_its_memory_gives_other_versions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given: set[str] = set()
    for moment in range(2):
        monkeypatch.setattr(versions, "_count", itertools.count())  # as it was in the picture
        monkeypatch.setattr("time.time_ns", lambda moment=moment: moment)
        given |= {versions.next_version(None) for _ in range(10)}
    assert len(given) == 20


# -- round trips ---------------------------------------------------------------------------------


def test_saving_writing_and_reading_are_one_round_trip_each(
    url: str, face: Face, round_trips: list[str]
) -> None:
    saver = face(BotWireSaver(url=url))
    chain = Chain(saver)
    first = chain.put(messages=MESSAGES, a=1, big="x" * 9999)
    saver.put_writes(first, [("x", 1), ("y", 2)], "task")
    chain.put({"run_id": "run"}, messages=[*MESSAGES, AIMessage("x")])
    assert round_trips == ["batch", "append", "batch"]
    for where in (config(), first):  # by a process that knows nothing yet
        round_trips.clear()
        assert face(BotWireSaver(url=url)).get_tuple(where).checkpoint["channel_values"]["a"] == 1
        assert round_trips == ["batch"]


def test_a_listing_reads_no_further_back_than_it_must(saver: Any, round_trips: list[str]) -> None:
    chain = Chain(saver)
    for step in range(30):
        where = chain.put({"step": step}, messages=MESSAGES[:step])
    round_trips.clear()
    assert [one.metadata["step"] for one in saver.list(config(), before=where, limit=3)] == [
        28,
        27,
        26,
    ]
    assert round_trips == ["batch", "batch"]


def test_one_saver_serves_threads_and_several_event_loops(url: str) -> None:
    saver = BotWireSaver(url=url)
    chain = Chain(saver)
    for number in range(3):
        chain.put(a=number)
        found = asyncio.run(saver.aget_tuple(config()))
        assert found is not None
        assert found.checkpoint["channel_values"] == {"a": number}
