"""What memory in a file does beyond the contract: the file itself, its place, and its errors."""

import sqlite3
import stat
import threading
from pathlib import Path

import pytest

from botwire import Memory
from botwire.errors import BotWireError, Unavailable
from botwire.stores.sqlite import SQLiteStore


def test_a_memory_stays_with_its_file_when_the_process_changes_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    with Memory("agent", url="sqlite:///memory.db") as memory:
        memory.set("k", 1)
        monkeypatch.chdir(tmp_path / "elsewhere")
        assert memory.get("k") == 1
        memory.set("k", 2)
        assert memory.get("k") == 2
    assert list((tmp_path / "elsewhere").iterdir()) == []
    with Memory("agent", url=f"sqlite:///{tmp_path}/memory.db") as memory:
        assert memory.get("k") == 2


def test_what_agents_remember_is_for_their_owner_alone(tmp_path: Path) -> None:
    with Memory("agent", url=f"sqlite:///{tmp_path}/new/folder/memory.db") as memory:
        memory.set("k", 1)
        files = list((tmp_path / "new" / "folder").iterdir())
        assert {file.name for file in files} >= {"memory.db", "memory.db-wal"}
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def _directory(place: Path) -> None:
    place.mkdir()


def _text(place: Path) -> None:
    place.write_text("This is a text, and no database at all. " * 100)


def _newer(place: Path) -> None:
    with sqlite3.connect(place) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()


def _other(place: Path) -> None:
    with sqlite3.connect(place) as database:
        database.execute("CREATE TABLE entries (something TEXT)")
    database.close()


def _under_a_file(place: Path) -> None:
    place.parent.rmdir()
    place.parent.write_text("not a folder")


@pytest.mark.parametrize("spoil", [_directory, _text, _newer, _other, _under_a_file])
def test_what_is_no_memory_is_refused_with_its_name_and_left_alone(tmp_path: Path, spoil) -> None:
    place = tmp_path / "folder" / "memory.db"
    place.parent.mkdir()
    spoil(place)
    before = place.read_bytes() if place.is_file() else None
    with Memory("agent", url=f"sqlite:///{place}") as memory:
        for attempt in (lambda: memory.get("k"), lambda: memory.set("k", 1)):
            with pytest.raises(Unavailable, match=r"memory\.db") as refused:
                attempt()
            assert refused.value.hint
    if before is not None:
        assert place.read_bytes() == before


def test_a_store_that_was_closed_while_others_read_opens_again(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "memory.db")
    memory = Memory("agent", store=store)
    memory.set("k", 1)
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            try:
                assert memory.get("k") == 1
                assert memory.list_keys() == ["k"]
            except BotWireError:
                pass  # it was closed under this read; what counts is that the next one works

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    for _ in range(200):
        store.close()
    done.set()
    for reader in readers:
        reader.join()
    for _ in range(10):
        assert memory.get("k") == 1
        assert memory.list_keys() == ["k"]
    memory.set("k", 2)
    assert memory.get("k") == 2
    store.close()


def test_a_backup_holds_everything_while_others_write(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "memory.db")
    memory = Memory("agent", store=store)
    memory.set_many({f"k{number}": "x" * 1000 for number in range(500)})
    store.backup(tmp_path / "copy.db")
    memory.clear()
    with Memory("agent", url=f"sqlite:///{tmp_path}/copy.db") as copy:
        assert len(copy.list_keys()) == 500
        copy.set("new", 1)
    store.close()


def test_sweeping_frees_what_expired_and_nothing_else(tmp_path: Path) -> None:
    from botwire.testing import FakeClock

    clock = FakeClock()
    store = SQLiteStore(tmp_path / "memory.db", clock=clock)
    memory, other = Memory("a", store=store), Memory("b", store=store)
    memory.append("list", *["x" * 100] * 200, ttl=5)
    memory.set_many({"gone": 1, "stays": 2}, ttl=10)
    memory.set("stays", 3)
    version = other.set("k", 1, ttl=10)
    clock.advance(11)
    store.sweep()
    with sqlite3.connect(tmp_path / "memory.db") as database:
        rows = database.execute("SELECT namespace, key FROM entries").fetchall()
        chunks = database.execute("SELECT count(*) FROM chunks").fetchone()[0]
    database.close()
    assert rows == [("a", "stays")]
    assert chunks == 0
    usage = memory.usage()
    assert (usage.entries, usage.bytes) == (1, len("stays3"))
    assert other.set("k", 2) > version
    store.close()
