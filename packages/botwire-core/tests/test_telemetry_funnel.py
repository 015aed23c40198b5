"""Whatever reaches a store is one event, by whichever method of either face it got there."""

from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest

from botwire import AsyncMemory, Conflict, Memory, telemetry
from botwire.jsontext import encode
from botwire.operations import Get, Linked, Set
from botwire.telemetry import Call
from botwire.testing import blocking


def in_a_batch(memory: Memory) -> None:
    with memory.batch() as batch:
        batch.set("k", 1)
        batch.get("k")


def flow() -> Generator[Any, Any, None]:
    yield Get("test", "k")
    yield Set("test", "k", encode(1))


EVENTS: dict[str, tuple[Callable[[Memory], object], list[str]]] = {
    # method: what is done with it, and the events of that
    "get": (lambda m: m.get("k"), ["get"]),
    "entry": (lambda m: m.entry("k"), ["read"]),
    "head": (lambda m: m.head("k"), ["head"]),
    "set": (lambda m: m.set("k", 1), ["set"]),
    "delete": (lambda m: m.delete("k"), ["delete"]),
    "pop": (lambda m: m.pop("k"), ["pop"]),
    "exists": (lambda m: m.exists("k"), ["exists"]),
    "expect": (lambda m: m.expect("k", 1), ["expect"]),
    "update": (lambda m: m.update("k", lambda n: n + 1), ["read", "set"]),
    "increment": (lambda m: m.increment("k"), ["increment"]),
    "append": (lambda m: m.append("list", 1), ["append"]),
    "tail": (lambda m: m.tail("list", 1), ["tail"]),
    "length": (lambda m: m.length("list"), ["length"]),
    "merge": (lambda m: m.merge("object", {"a": 1}), ["merge"]),
    "ttl": (lambda m: m.ttl("k"), ["head"]),
    "touch": (lambda m: m.touch("k", 9), ["touch"]),
    "persist": (lambda m: m.persist("k"), ["persist"]),
    "expire": (lambda m: m.expire("k", 9), ["expire"]),
    "get_many": (lambda m: m.get_many(["k"]), ["get_many"]),
    "set_many": (lambda m: m.set_many({"k": 1}), ["set_many"]),
    "delete_many": (lambda m: m.delete_many(["k"]), ["delete_many"]),
    "clear": (lambda m: m.clear(), ["clear"]),
    "list_keys": (lambda m: m.list_keys("k"), ["scan"]),
    "items": (lambda m: list(m.items("k")), ["scan"]),
    "entries": (lambda m: list(m.entries("k")), ["scan"]),
    "page": (lambda m: m.page("k"), ["scan"]),
    "batch": (in_a_batch, ["batch"]),
    "run": (lambda m: m.run(Linked("test")), ["linked"]),
    "drive": (lambda m: m.drive(flow()), ["get", "set"]),
    "usage": (lambda m: m.usage(), ["usage"]),
    "namespaced": (lambda m: m.namespaced("other").get("k"), ["get"]),
}
ONE_FACE: dict[str, tuple[Callable[[Memory], object], list[str]]] = {
    # what only Memory has, as a mapping, and how each face becomes the other
    "keys": (lambda m: list(m.keys()), ["scan"]),
    "values": (lambda m: list(m.values()), ["scan"]),
    "[]": (lambda m: m["k"], ["get"]),
    "[] =": (lambda m: m.__setitem__("k", 1), ["set"]),
    "del": (lambda m: m.__delitem__("k"), ["delete"]),
    "in": (lambda m: "k" in m, ["exists"]),
    "len": (len, ["usage"]),
    "iteration": (lambda m: next(iter(m)), ["scan"]),
    "to_async": (lambda m: blocking(m.to_async()).get("k"), ["get"]),
}
SILENT = {"close", "to_sync"}


@pytest.fixture
def events() -> Iterator[list[str]]:
    names: list[str] = []

    def watch(call: Call) -> Generator[None]:
        yield
        names.append(call.operation.name)

    telemetry.add(watch)
    yield names
    telemetry.remove(watch)


def done(memory: Memory, action: Callable[[Memory], object], events: list[str]) -> list[str]:
    """The events of an action on a memory that holds something of each kind."""
    memory.set("k", 1)
    events.clear()
    action(memory)
    return events


@pytest.mark.parametrize("method", EVENTS | ONE_FACE)
def test_each_operation_of_memory_is_one_event(
    method: str, events: list[str], botwire_memory: Memory
) -> None:
    action, expected = (EVENTS | ONE_FACE)[method]
    assert done(botwire_memory, action, events) == expected


@pytest.mark.parametrize("method", EVENTS)
def test_each_operation_of_asyncmemory_is_one_event(
    method: str, events: list[str], botwire_memory: Memory
) -> None:
    action, expected = EVENTS[method]
    assert done(blocking(botwire_memory.to_async()), action, events) == expected


@pytest.mark.parametrize("face", [Memory, AsyncMemory])
def test_no_method_is_left_out_here(face: type[object]) -> None:
    methods = {name for name in dir(face) if not name.startswith("_")}
    assert methods - EVENTS.keys() - ONE_FACE.keys() - SILENT == set()


def test_each_page_of_a_long_iteration_is_an_event(
    events: list[str], botwire_memory: Memory
) -> None:
    botwire_memory.set_many({f"{n:05}": n for n in range(2500)})
    asynchronous = blocking(botwire_memory.to_async())
    for memory in (botwire_memory, asynchronous):
        events.clear()
        assert len(list(memory.items())) == 2500
        assert events == ["scan"] * 3


def test_a_contested_update_is_an_event_for_each_attempt(
    events: list[str], botwire_memory: Memory
) -> None:
    rival = botwire_memory.namespaced("test")
    raced: list[int] = []

    def add_one(n: int) -> int:
        if not raced:
            raced.append(rival.set("k", 10))
        return n + 1

    botwire_memory.set("k", 1)
    events.clear()
    assert botwire_memory.update("k", add_one) == 11
    assert events == ["read", "set", "set", "set"]


def test_a_batch_that_fails_is_one_event_and_one_that_is_left_none(
    events: list[str], botwire_memory: Memory
) -> None:
    def fails(memory: Memory) -> None:
        with memory.batch() as batch:
            batch.expect("k", 7)
            batch.set("k", 1)

    def leaves(memory: Memory) -> None:
        with memory.batch() as batch:
            batch.set("k", 1)
            raise ZeroDivisionError

    with pytest.raises(Conflict):
        fails(botwire_memory)
    with pytest.raises(ZeroDivisionError):
        leaves(botwire_memory)
    assert events == ["batch"]
