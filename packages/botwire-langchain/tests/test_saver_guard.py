"""Who may write to a thread, and how long it lives."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest
from checkpoint_kit import MESSAGES, Chain, Face, config, values_of, writes_of

from botwire import Memory
from botwire.errors import InvalidRequest
from botwire.testing import FakeClock
from botwire_langchain import BotWireSaver, StaleWriteOwner
from botwire_langchain.checkpoint import guard

DAY = 86400.0


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


def claim(saver: Any, thread: str) -> Any:
    """The claimed saver, with the same face."""
    owner = saver.claim_write_ownership(thread)
    return owner if saver is getattr(saver, "target", saver) else type(saver)(owner, saver._runner)


@pytest.fixture
def saver(url: str, face: Face) -> Any:
    return face(BotWireSaver(url=url))


# -- ownership -------------------------------------------------------------------------------------


def test_the_owner_writes_and_who_owned_the_thread_before_is_refused(saver: Any) -> None:
    old = claim(saver, "t")
    chain = Chain(old)
    first = chain.put(messages=MESSAGES[:10])
    new = claim(saver, "t")
    for _ in range(2):
        with pytest.raises(StaleWriteOwner, match="no longer owns thread 't'") as refused:
            chain.put(messages=MESSAGES[:11])
        assert refused.value.is_stale_write_owner_error
        with pytest.raises(StaleWriteOwner):
            old.put_writes(first, [("x", "stale")], "task")
        with pytest.raises(StaleWriteOwner):
            old.check_write_ownership()
    assert [found.config for found in saver.list(config())] == [first]
    assert writes_of(saver, first) == []

    going_on = Chain(new)
    going_on.config, going_on.versions = first, chain.versions
    second = going_on.put(messages=MESSAGES[:12])
    new.put_writes(second, [("x", "mine")], "task")
    new.check_write_ownership()
    assert values_of(saver, config())["messages"] == MESSAGES[:12]
    assert [write[2] for write in writes_of(old, second)] == ["mine"]


def test_a_stale_owner_cannot_displace_a_write_not_even_a_special_one(saver: Any) -> None:
    old = claim(saver, "t")
    where = Chain(old).put(a=1)
    new = claim(saver, "t")
    for channel in ("x", "__resume__"):
        new.put_writes(where, [(channel, "new")], "task")
        with pytest.raises(StaleWriteOwner):
            old.put_writes(where, [(channel, "old")], "task")
    assert [write[2] for write in writes_of(saver, where)] == ["new", "new"]


def test_owning_is_a_matter_of_one_thread(saver: Any) -> None:
    owner = claim(saver, "t")
    claim(saver, "other")
    Chain(owner).put(a=1)
    Chain(owner, "third").put(a=1)
    both = claim(owner, "third")
    claim(saver, "t")
    with pytest.raises(StaleWriteOwner, match="'t'"):
        both.check_write_ownership()


def test_who_never_claimed_is_not_held_back(saver: Any) -> None:
    claim(saver, "t")
    Chain(saver).put(a=1)
    assert values_of(saver, config()) == {"a": 1}


def test_repeating_a_write_is_no_reason_to_refuse_it(saver: Any) -> None:
    owner = claim(saver, "t")
    where = Chain(owner).put(a=1)
    owner.put_writes(where, [("x", 1)], "task")
    owner.put_writes(where, [("x", 1)], "task")
    assert len(writes_of(saver, where)) == 1


def test_owning_costs_no_round_trip(saver: Any, round_trips: list[str]) -> None:
    owner = claim(saver, "t")
    round_trips.clear()
    chain = Chain(owner)
    where = chain.put(a=1)
    owner.put_writes(where, [("x", 1)], "task")
    assert round_trips == ["batch", "batch"]


def test_whoever_deletes_a_thread_ends_its_ownership(saver: Any) -> None:
    owner = claim(saver, "t")
    Chain(owner).put(a=1)
    saver.delete_thread("t")
    with pytest.raises(StaleWriteOwner):
        Chain(owner).put(a=1)


# -- time to live ----------------------------------------------------------------------------------


@pytest.fixture
def at(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """The clock of the store, which is then the saver's, too."""

    class Time:
        monotonic = clock
        time = clock

    monkeypatch.setattr(guard, "time", Time)
    return clock


@pytest.fixture
def aging(timed: Memory, at: FakeClock, face: Face) -> Any:
    return face(BotWireSaver(memory=timed, ttl=7 * DAY))


def test_a_thread_lives_on_with_every_write_and_then_goes_as_a_whole(
    aging: Any, timed: Memory, at: FakeClock
) -> None:
    chain = Chain(aging)
    for count in range(1, 31):  # three months, with a write every three days
        where = chain.put(
            {"step": count}, messages=MESSAGES[:count], **({"old": "x" * 999} if count == 1 else {})
        )
        at.advance(3 * DAY)
        aging.put_writes(where, [("x", 1)], "task")
        assert values_of(aging, config()) == {"messages": MESSAGES[:count], "old": "x" * 999}
        assert len(list(aging.list(config()))) == count
    first = list(aging.list(config()))[-1].config
    at.advance(7 * DAY - 1)
    assert values_of(aging, first) == {"messages": MESSAGES[:1], "old": "x" * 999}
    assert len(list(aging.list(None))) == 30
    at.advance(1)
    assert aging.get_tuple(config()) is None
    assert aging.get_tuple(first) is None
    assert list(aging.list(config())) == list(aging.list(None)) == []
    history = aging.get_delta_channel_history(config=first, channels=["messages"])
    assert history == {"messages": {"writes": []}}
    at.advance(4 * DAY)
    assert timed.list_keys() == []


def test_a_thread_that_expired_begins_anew_under_its_name(
    aging: Any, timed: Memory, at: FakeClock, face: Face
) -> None:
    old = Chain(aging)
    old.put(messages=MESSAGES)
    at.advance(7 * DAY)
    assert len(timed.list_keys()) > 0
    for saver in (aging, face(BotWireSaver(memory=timed, ttl=7 * DAY))):
        new = Chain(saver)
        new.put(a=1)
        assert [found.checkpoint["channel_values"] for found in saver.list(config())] == [{"a": 1}]
        at.advance(7 * DAY)


def test_writes_that_come_before_their_checkpoint_begin_a_thread_too(aging: Any) -> None:
    aging.put_writes(config("t", "ffff"), [("x", 1)], "task")
    Chain(aging).put(a=1)
    assert len(list(aging.list(config()))) == 1


def test_reading_renews_a_thread_if_so_wanted(timed: Memory, at: FakeClock, face: Face) -> None:
    saver = face(BotWireSaver(memory=timed, ttl=7 * DAY, refresh_on_read=True))
    Chain(saver).put(messages=MESSAGES)
    for _ in range(10):
        at.advance(6 * DAY)
        assert values_of(saver, config())["messages"] == MESSAGES
    at.advance(7 * DAY)
    assert saver.get_tuple(config()) is None


def test_renewing_everything_is_rare(aging: Any, at: FakeClock, round_trips: list[str]) -> None:
    chain = Chain(aging)
    chain.put(a=1)
    round_trips.clear()
    for count in range(20):
        chain.put(a=count)
        at.advance(DAY / 10)
    assert round_trips == ["batch"] * 20


def test_another_process_may_have_begun_the_thread_meanwhile(
    timed: Memory, at: FakeClock, face: Face
) -> None:
    one, two = (face(BotWireSaver(memory=timed, ttl=60)) for _ in range(2))
    assert one.get_tuple(config()) is None
    Chain(two).put(a=2)
    Chain(one).put(a=1)
    assert len(list(two.list(config()))) == 2


def test_an_owner_of_a_thread_that_expires_renews_it_too(
    timed: Memory, at: FakeClock, face: Face
) -> None:
    saver = face(BotWireSaver(memory=timed, ttl=60))
    owner = claim(saver, "t")
    chain = Chain(owner)
    for count in range(5):
        chain.put(a=count)
        at.advance(50)
    claim(saver, "t")
    with pytest.raises(StaleWriteOwner):
        chain.put(a=9)
    at.advance(61)
    assert saver.get_tuple(config()) is None
    Chain(claim(saver, "t")).put(b=1)
    assert [found.checkpoint["channel_values"] for found in saver.list(config())] == [{"b": 1}]


def test_a_copied_thread_has_a_time_of_its_own(aging: Any, at: FakeClock) -> None:
    Chain(aging, "from").put(messages=MESSAGES)
    at.advance(6 * DAY)
    aging.copy_thread("from", "to")
    at.advance(2 * DAY)
    assert aging.get_tuple(config("from")) is None
    assert values_of(aging, config("to"))["messages"] == MESSAGES


def test_pruning_changes_nothing_about_the_time(aging: Any, at: FakeClock) -> None:
    chain = Chain(aging)
    for count in (1, 5, 9):
        chain.put(messages=MESSAGES[:count])
    at.advance(6 * DAY)
    aging.prune(["t"])
    assert values_of(aging, config())["messages"] == MESSAGES[:9]
    at.advance(DAY)
    assert aging.get_tuple(config()) is None


def test_time_is_the_servers_and_passes_for_real(url: str) -> None:
    saver = BotWireSaver(url=url, ttl=1.5)
    Chain(saver).put(messages=MESSAGES)
    assert saver.get_tuple(config()) is not None
    deadline = time.monotonic() + 15
    while saver.get_tuple(config()) is not None:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_what_is_no_time_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="ttl"):
        BotWireSaver(url="memory://", ttl=0)
