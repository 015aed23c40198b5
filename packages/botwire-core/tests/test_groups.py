"""Writers that share a transaction: what goes wrong for one of them is not the others' fault."""

from pathlib import Path
from typing import Any

import pytest

from botwire.errors import Conflict, StorageFull
from botwire.jsontext import Json, encode
from botwire.operations import Append, Batch, Clear, Expect, Get, Operation, Set
from botwire.stores.base import Limits, Mode
from botwire.stores.sqlite import SQLiteStore
from botwire.stores.store import Once, Ticket


class Broken(Set):
    """An operation with a bug."""

    def apply(self, space: Any) -> dict[str, Any]:
        super().apply(space)
        raise AttributeError("a bug")


@pytest.fixture
def store(tmp_path: Path) -> Any:
    store = SQLiteStore(tmp_path / "memory.db")
    yield store
    store.close()


def test_a_bug_in_one_operation_leaves_the_others_of_its_group_alone(store: SQLiteStore) -> None:
    tickets = [
        Ticket(kind("n", key, Json("1"))) for kind, key in ((Set, "a"), (Broken, "b"), (Set, "c"))
    ]
    assert store.begin(tickets) is None
    store.commit(tickets)
    assert [ticket.done for ticket in tickets] == [True] * 3
    with pytest.raises(AttributeError):
        tickets[1].result()
    assert [store.run(Get("n", key)) is not None for key in "abc"] == [True, False, True]
    assert tickets[2].result()["version"] == 2


def test_a_value_that_does_not_fit_on_the_disk_fails_alone(store: SQLiteStore) -> None:
    store.write(Set("n", "first", Json("1")))
    connection = store._open_writer().connection
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages + 20}")
    tickets = [
        Ticket(Set("n", "small", Json("1"))),
        Ticket(Set("n", "large", encode("x" * 500_000))),
    ]
    store.commit(tickets)
    assert tickets[0].result()["version"] == 2
    with pytest.raises(StorageFull):
        tickets[1].result()
    assert store.run(Get("n", "large")) is None
    assert store.write(Set("n", "after", Json("1")))["version"] == 3


LONG = encode("x" * 5000)  # so long that a list puts it into a chunk at once
CHANGES: dict[str, list[Operation]] = {
    "staged": [Set("n", "list", Json("1")), Set("n", "new", Json("1"))],
    "a chunk": [Append("n", "list", (LONG,)), Append("n", "new", (LONG,))],
    "what was read past what is staged": [Set("n", "new", Json("1")), Clear("n", "")],
}


@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES.keys())
def test_a_batch_that_fails_in_a_group_leaves_nothing(
    store: SQLiteStore, changes: list[Operation]
) -> None:
    store.write(Append("n", "list", (LONG, Json("1"))))
    before = store.run(Get("n", "list"))
    failing = Batch("n", (*changes, Expect("n", "list", 99)))
    tickets = [Ticket(Set("n", "a", LONG)), Ticket(failing), Ticket(Set("n", "b", LONG))]
    store.commit(tickets)
    with pytest.raises(Conflict):
        tickets[1].result()
    assert store.run(Get("n", "list")) == before
    assert [store.run(Get("n", key)) is not None for key in ("a", "new", "b")] == [1, 0, 1]
    assert tickets[2].result()["version"] == 3


def test_a_group_that_was_begun_is_visible_only_once_it_is_finished(store: SQLiteStore) -> None:
    ticket = Ticket(Set("n", "k", Json("1")))
    finish = store.begin([ticket])
    assert finish is not None
    assert store.begin([Ticket(Set("n", "other", Json("1")))]) is None
    assert store.run(Get("n", "k")) is None
    finish()
    assert ticket.done
    assert store.run(Get("n", "k"))["value"] == "1"


def test_a_backlog_of_expired_entries_and_replies_is_worked_off(tmp_path: Path) -> None:
    now = [1000.0]
    store = SQLiteStore(tmp_path / "memory.db", Limits(), clock=lambda: now[0])
    for number in range(1000):
        store.write(Set("n", f"k{number}", Json("1"), 10.0), Once(f"once-{number}", "f"))
    now[0] += 100_000
    store.sweep()
    with store.session(Mode.SNAPSHOT) as session:
        assert session.expired(now[0], 10, None) == []
        assert session.recall("n", "once-999") is None
    store.close()
