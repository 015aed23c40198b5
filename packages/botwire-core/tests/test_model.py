"""Any history of operations leaves a memory as it leaves a dict with a clock and a counter."""

import math
import zlib
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from botwire import Memory
from botwire.errors import BotWireError, Conflict
from botwire.operations import Entry, Page
from botwire.stores.sqlite import SQLiteStore
from botwire.testing import FakeClock
from botwire.testing.contract.kit import exact
from botwire.testing.model import Model

Call = Callable[[Any], Any]

KEYS = ["%", "a", "a:1", "a:2", "b", "\uffff", "🦆"]  # in code-point order
keys = st.sampled_from(KEYS)
prefixes = st.sampled_from(["", "a", "a:", "b", "%", "\uffff", "x"])
scalars = st.sampled_from([None, True, 0, 1, 2.5, "", "é", -0.0, 10**30, "x" * 700])
lists = st.lists(scalars, max_size=9)
objects = st.dictionaries(st.sampled_from(["m", "n", "é"]), scalars | lists, max_size=3)
values = scalars | lists | objects | st.dictionaries(st.sampled_from("mn"), objects, max_size=2)
ttls = st.sampled_from([None, None, 1, 5, 60, 0.5])
versions = st.none() | st.integers(0, 40)
counts = st.sampled_from([0, 1, 3, 100])
NO_TTL: dict[str, Any] = {"ttl": None, "sliding": False}
lives = ttls.flatmap(
    lambda ttl: (
        st.just(NO_TTL)
        if ttl is None
        else st.fixed_dictionaries({"ttl": st.just(ttl), "sliding": st.booleans()})
    )
)


def call(name: str, *arguments: Any, **options: Any) -> Call:
    """The call of a method, to be made on a memory, a batch and the model alike."""

    def made(memory: Any) -> Any:
        return getattr(memory, name)(*arguments, **options)

    made.__qualname__ = f"{name}{arguments}{options}"
    return made


def calls(name: str, *positional: st.SearchStrategy[Any], **named: st.SearchStrategy[Any]) -> Any:
    return st.builds(
        lambda arguments, options: call(name, *arguments, **options),
        st.tuples(*positional),
        st.fixed_dictionaries(named),
    )


def with_life(name: str, *positional: st.SearchStrategy[Any], **named: Any) -> Any:
    return st.builds(
        lambda arguments, options, life: call(name, *arguments, **options, **life),
        st.tuples(*positional),
        st.fixed_dictionaries(named),
        lives,
    )


appends = st.builds(
    lambda key, items, keep, life, version: call(
        "append", key, *items, max_items=keep, if_version=version, **life
    ),
    keys,
    lists | st.just(["y" * 900] * 6),
    st.sampled_from([None, None, 1, 2, 8, 30]),
    lives,
    st.none() | versions,
)
both = st.one_of(  # what a batch can do, too
    with_life("set", keys, values, if_version=st.none() | versions),
    calls("delete", keys, if_version=st.none() | versions),
    calls("get", keys),
    calls("exists", keys),
    calls("pop", keys),
    calls("increment", keys, st.sampled_from([1, -1, 0, 0.5, 10**20]), ttl=ttls),
    appends,
    appends,
    calls("tail", keys, counts),
    calls("length", keys),
    calls("merge", keys, objects | scalars, ttl=ttls, if_version=st.none() | versions),
    calls("touch", keys, ttls),
    calls("persist", keys),
    calls("expire", prefixes, st.sampled_from([1, 5, 60])),
    calls("clear", prefixes.filter(bool)),
)
alone = st.one_of(
    both,
    both,
    with_life("set_many", st.dictionaries(keys, values, max_size=4)),
    calls("get_many", st.lists(keys, max_size=5)),
    calls("delete_many", st.lists(keys, max_size=3)),
    calls("list_keys", prefixes),
    calls(
        "page",
        prefixes,
        after=st.none() | keys | st.just(""),
        limit=st.sampled_from([1, 2, 1000]),
        reverse=st.booleans(),
        newer_than=st.sampled_from([0, 0, 3, 20]),
    ),
    with_life("update", keys, st.just(lambda value: [value])),
)


def outcome(act: Callable[[], Any]) -> Any:
    """What came of it, in a form in which only what is exactly equal is equal."""
    try:
        result = act()
    except Conflict as conflict:
        return "Conflict", conflict.current_version, exact(conflict.current_value)
    except BotWireError as error:
        return type(error).__name__
    if isinstance(result, Page):
        return exact([entry.value for entry in result.entries]), result.cursor
    return (exact(result[0]), result[1]) if isinstance(result, tuple) else exact(result)


class Histories(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.folder = TemporaryDirectory()
        # A namespace's day begins at a moment of its own; none may end while this runs.
        self.clock = FakeClock(86400 * 20_000 - zlib.crc32(b"agent") % 86400 + 100)
        self.model = Model(self.clock)
        self.open()

    def open(self) -> None:
        self.store = SQLiteStore(Path(self.folder.name) / "memory.db", clock=self.clock)
        self.memory = Memory("agent", store=self.store)
        self.other = Memory("another", store=self.store)

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
            self.folder.cleanup()

    @rule(act=alone)
    def operate(self, act: Call) -> None:
        assert outcome(lambda: act(self.memory)) == outcome(lambda: act(self.model))

    @rule(acts=st.lists(both, max_size=6))
    def operate_together(self, acts: list[Call]) -> None:
        def batch() -> list[Any]:
            with self.memory.batch() as batch:
                for act in acts:
                    act(batch)
            return batch.results

        assert outcome(batch) == outcome(lambda: self.model.batch(acts))

    @rule(seconds=st.sampled_from([0.25, 0.5, 1, 4.5, 59, 0.0]))
    def let_time_pass(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule()
    def sweep(self) -> None:
        self.store.sweep()

    @rule()
    def restart(self) -> None:
        self.store.close()
        self.open()

    @precondition(lambda self: hasattr(self, "store"))
    @invariant()
    def agree(self) -> None:
        alive = self.model.alive()
        found: list[Entry] = self.memory.page(values=False).entries
        now = self.clock()
        assert [(e.key, e.version, e.ttl, e.sliding, e.expires_in) for e in found] == [
            (key, item.version, item.ttl, item.sliding, _left(item.expires_at - now))
            for key, item in alive.items()
        ]
        for key, item in alive.items():
            if not item.sliding:
                assert exact(self.memory.get(key)) == exact(item.value)
        usage = self.memory.usage()
        assert (usage.entries, usage.bytes) == self.model.used()
        assert (usage.version, usage.writes_today) == (self.model.version, self.model.writes)
        assert self.other.usage().version == 0
        assert [key for key in KEYS if self.memory.exists(key)] == list(alive)


def _left(seconds: float) -> float | None:
    return None if math.isinf(seconds) else seconds


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
