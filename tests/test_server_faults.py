"""A server when things go wrong: kills, restarts, crowds, full disks, slow and lost clients."""

import asyncio
import os
import signal
import socket
import sqlite3
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from botwire import AsyncMemory, Memory
from botwire.errors import BotWireError, StorageFull, Timeout, Unreachable
from botwire.testing import ServerProcess

JSON = {"content-type": "application/json"}


@pytest.fixture
def server(botwire_server: ServerProcess) -> ServerProcess:
    return botwire_server


def connected(server: ServerProcess) -> socket.socket:
    parts = urlsplit(server.url)
    return socket.create_connection((parts.hostname, parts.port), timeout=20)


def stands(server: ServerProcess) -> None:
    """It still answers at once, remembers, and met nothing that it did not expect."""
    assert server.process.poll() is None
    with Memory("still here", url=server.url, timeout=5) as memory:
        memory.set("k", "v")
        assert memory.get("k") == "v"
    assert "botwire_unexpected_errors_total 0.0" in httpx.get(f"{server.url}/metrics").text


# -- killed servers --------------------------------------------------------------------------------


class Writers:
    """64 threads that write through one server until they are told to stop."""

    def __init__(self, url: str, timeout: float) -> None:
        self.memory = Memory("agent", url=url, timeout=timeout)
        self.done = threading.Event()
        self.acknowledged = [0] * 64
        self.failed: list[BotWireError] = []
        self.threads = [threading.Thread(target=self.write, args=(n,)) for n in range(64)]
        for thread in self.threads:
            thread.start()

    def write(self, number: int) -> None:
        while not self.done.is_set():
            turn = self.acknowledged[number]
            try:
                with self.memory.batch() as batch:
                    batch.append(f"list:{number}", turn)
                    batch.increment("sum")
                    batch.set(f"turn:{number}", turn)
            except BotWireError as error:
                self.failed.append(error)
                return
            self.acknowledged[number] += 1

    def wait_for(self, writes: int) -> None:
        """Until so many more writes were acknowledged."""
        wanted = sum(self.acknowledged) + writes
        deadline = time.monotonic() + 30
        while sum(self.acknowledged) < wanted:
            assert time.monotonic() < deadline, "nothing is written any more"
            time.sleep(0.005)

    def stop(self) -> None:
        self.done.set()
        for thread in self.threads:
            thread.join(60)
        self.memory.close()


def test_every_write_acknowledged_before_a_kill_is_there_and_no_half_of_another(
    server: ServerProcess,
) -> None:
    writers = Writers(server.url, timeout=5)
    writers.wait_for(500)
    server.kill()
    writers.stop()
    assert {type(error) for error in writers.failed} <= {Unreachable, Timeout}
    server.start()
    with server.memory("agent") as memory:
        total = 0
        for number, turns in enumerate(writers.acknowledged):
            items = memory.get(f"list:{number}", [])
            assert items == list(range(len(items)))
            assert turns <= len(items) <= turns + 1  # one was perhaps written and not answered
            assert memory.get(f"turn:{number}", -1) == len(items) - 1
            total += len(items)
        assert memory.get("sum") == total
    stands(server)


def test_clients_that_wait_out_a_crash_lose_nothing_and_do_nothing_twice(
    server: ServerProcess,
) -> None:
    writers = Writers(server.url, timeout=30)
    for _ in range(2):
        writers.wait_for(300)
        server.kill()
        server.start()
    writers.wait_for(300)
    writers.stop()
    assert writers.failed == []
    with server.memory("agent") as memory:
        for number, turns in enumerate(writers.acknowledged):
            assert memory.get(f"list:{number}", []) == list(range(turns))
        assert memory.get("sum") == sum(writers.acknowledged)


def test_a_restart_as_an_operator_does_it_is_not_noticed(server: ServerProcess) -> None:
    writers = Writers(server.url, timeout=30)
    for _ in range(2):
        writers.wait_for(200)
        server.restart()
    writers.wait_for(200)
    writers.stop()
    assert writers.failed == []
    with server.memory("agent") as memory:
        assert memory.get("sum") == sum(writers.acknowledged)


def test_an_idle_connection_survives_a_restart(server: ServerProcess) -> None:
    with server.memory("agent") as memory:
        memory.set("k", 1)
        server.restart()
        assert memory.get("k") == 1
        server.restart()
        assert memory.increment("k") == 2


def test_a_server_that_is_not_there_is_said_in_time(server: ServerProcess) -> None:
    server.stop()
    started = time.monotonic()
    with Memory("agent", url=server.url, timeout=0.5) as memory:
        for act in (lambda: memory.get("k"), lambda: memory.set("k", 1)):
            with pytest.raises(Unreachable) as refused:
                act()
            assert "nothing was changed" in refused.value.detail
            assert "botwire doctor" in refused.value.hint
    assert time.monotonic() - started < 5
    server.start()


def test_a_server_that_hangs_is_given_up_in_time(server: ServerProcess) -> None:
    with Memory("agent", url=server.url, timeout=0.5) as memory:
        memory.set("k", 1)
        server.process.send_signal(signal.SIGSTOP)
        try:
            with pytest.raises(Timeout) as read:
                memory.get("k")
            with pytest.raises(Timeout) as written:
                memory.set("k", 2)
        finally:
            server.process.send_signal(signal.SIGCONT)
        assert "not known" not in read.value.detail
        assert "not known whether it was written" in written.value.detail
    stands(server)


# -- several servers on one file -------------------------------------------------------------------


def test_two_servers_on_one_file_are_one_memory(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/memory.db"
    with ServerProcess(store) as first, ServerProcess(store) as second:
        memories = [first.memory("agent"), second.memory("agent")]

        def seen(o: dict[str, int], number: int, turn: int) -> dict[str, int]:
            return {**o, str(number): turn}

        def work(number: int) -> None:
            mine, theirs = memories[number % 2], memories[1 - number % 2]
            for turn in range(25):
                mine.increment("n")
                version = mine.set(f"k:{number}", turn)
                entry = theirs.entry(f"k:{number}")
                assert entry is not None
                assert (entry.value, entry.version) == (turn, version)
                theirs.append("list", [number, turn])
                mine.update("o", partial(seen, number=number, turn=turn), {})

        with ThreadPoolExecutor(16) as pool:
            list(pool.map(work, range(16)))
        for memory in memories:
            assert memory.get("n") == 400
            assert memory.get("o") == {str(number): 24 for number in range(16)}
            items = memory.get("list")
            assert len(items) == 400
            for number in range(16):
                assert [turn for who, turn in items if who == number] == list(range(25))
            memory.close()
        stands(first)
        stands(second)


def test_the_second_server_goes_on_when_the_first_is_killed(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/memory.db"
    with ServerProcess(store) as first, ServerProcess(store) as second:
        doomed, staying = Writers(first.url, timeout=5), Writers(second.url, timeout=30)
        doomed.wait_for(200)
        staying.wait_for(200)
        first.kill()
        staying.wait_for(200)
        doomed.stop()
        staying.stop()
        assert staying.failed == []
        with second.memory("agent") as memory:
            acknowledged = sum(doomed.acknowledged) + sum(staying.acknowledged)
            assert acknowledged <= memory.get("sum") <= acknowledged + 64
        stands(second)


# -- clients that are slow, vanish or lie ----------------------------------------------------------


@pytest.fixture
def impatient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ServerProcess]:
    """A server that waits a second where others wait half a minute or more."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "if sys.argv[0:1] == ['-m'] or 'botwire_server' in ' '.join(sys.orig_argv):\n"
        "    from botwire_server import protocol, requests, serve\n"
        "    protocol.HEAD_SECONDS = requests.BODY_SECONDS = serve.KEEP_ALIVE = 1.0\n"
        "    from botwire.stores import sqlitefile\n"
        "    sqlitefile.BUSY_SECONDS, sqlitefile.PATIENCE = 1.0, 'PRAGMA busy_timeout = 1000'\n"
    )
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", path)
    with ServerProcess(f"sqlite:///{tmp_path}/memory.db") as server:
        yield server


SLOW = {
    "a head that never ends": b"GET /memory/n/k HTTP/1.1\r\nhost: localhost\r\nx-slow: ",
    "a body that never comes": (
        b"PUT /memory/n/k HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        b'content-length: 1000\r\n\r\n{"value":"'
    ),
}


@pytest.mark.parametrize("begun", SLOW.values(), ids=SLOW)
def test_clients_that_never_finish_are_hung_up_on_and_hold_up_nobody(
    impatient: ServerProcess, begun: bytes
) -> None:
    connections = [connected(impatient) for _ in range(100)]
    try:
        for connection in connections:
            connection.sendall(begun)
        for _ in range(3):
            for connection in connections:
                connection.sendall(b"x")
            started = time.monotonic()
            stands(impatient)
            assert time.monotonic() - started < 2
        for connection in connections:
            head = connection.recv(65536)
            assert head.startswith(b"HTTP/1.1 408 "), head[:60]
            assert b"application/problem+json" in head
    finally:
        for connection in connections:
            connection.close()


def test_connections_on_which_nothing_comes_are_closed(impatient: ServerProcess) -> None:
    with connected(impatient) as fresh, connected(impatient) as used:
        used.sendall(b"GET /memory/n/k HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert used.recv(65536).startswith(b"HTTP/1.1 404 ")
        for connection in (fresh, used):
            connection.settimeout(10)
            assert connection.recv(65536) == b""
    stands(impatient)


def test_a_client_that_reads_nothing_holds_up_nobody(server: ServerProcess) -> None:
    with server.memory("n") as memory:
        memory.set("k", "x" * 5_000_000)
        with ExitStack() as connections:
            for _ in range(20):
                connection = connections.enter_context(connected(server))
                connection.sendall(b"GET /memory/n/k HTTP/1.1\r\nhost: localhost\r\n\r\n" * 3)
            for _ in range(3):
                started = time.monotonic()
                stands(server)
                # It takes milliseconds, or for ever; a busy machine takes a while.
                assert time.monotonic() - started < 20
    stands(server)


def files_of(server: ServerProcess) -> int:
    with suppress(OSError):
        return len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))
    return 0


def test_clients_that_vanish_leave_nothing_behind(server: ServerProcess) -> None:
    stands(server)
    before = files_of(server)
    body = b'{"value":"' + b"x" * 1000 + b'"}'
    head = (
        b"PUT /memory/n/k HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        b"content-length: %d\r\n\r\n" % len(body)
    )
    whole = head + body
    for number in range(300):
        connection = connected(server)
        connection.sendall(whole[: number * len(whole) // 299])
        if number % 2:  # hang up at once, without waiting for what is on the way
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.close()
    stands(server)
    assert httpx.get(f"{server.url}/memory/n/k").status_code in (200, 404)
    deadline = time.monotonic() + 10
    while files_of(server) > before + 5:
        assert time.monotonic() < deadline, "connections of clients that are gone stay open"
        time.sleep(0.05)


async def test_async_clients_that_are_cancelled_leave_whole_writes_only(
    server: ServerProcess,
) -> None:
    async with AsyncMemory("agent", url=server.url) as memory:

        async def write(number: int) -> None:
            async with memory.batch() as batch:
                batch.append("list", number)
                batch.increment("n")

        tasks = [asyncio.create_task(write(number)) for number in range(200)]
        for number, task in enumerate(tasks):
            await asyncio.sleep(0.0005)
            if number % 3 == 0:
                task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        finished = {number for number, result in enumerate(results) if result is None}
        written = await memory.get("list")
        assert finished <= set(written)
        assert len(set(written)) == len(written) == await memory.get("n")
    stands(server)


def test_an_answer_that_was_lost_is_given_again_and_nothing_is_done_twice(
    server: ServerProcess,
) -> None:
    body = b'{"namespace":"n","key":"n"}'
    request = (
        b"POST /v1/increment HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        b'idempotency-key: "once"\r\ncontent-length: %d\r\n\r\n' % len(body)
    ) + body
    for _ in range(20):
        with connected(server) as connection:
            connection.sendall(request)
    answer = httpx.post(
        f"{server.url}/v1/increment",
        content=body,
        headers=JSON | {"idempotency-key": '"once"'},
    )
    assert answer.json()["value"] == 1
    with server.memory("n") as memory:
        assert memory.get("n") == 1


def test_a_file_that_another_application_locks_is_503_for_writers_only(
    impatient: ServerProcess, tmp_path: Path
) -> None:
    stands(impatient)
    other = sqlite3.connect(tmp_path / "memory.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with closing(other), httpx.Client(base_url=impatient.url, timeout=30) as client:

        def write(number: int) -> tuple[httpx.Response, float]:
            began = time.monotonic()
            answer = client.put(f"/memory/n{number % 4}/k", json={"value": 1})
            return answer, time.monotonic() - began

        with ThreadPoolExecutor(16) as threads:
            writing = [threads.submit(write, number) for number in range(16)]
            began = time.monotonic()
            for _ in range(20):
                assert client.get("/memory/still here/k").json()["value"] == "v"
            assert time.monotonic() - began < 2
            for answer, seconds in (result.result() for result in writing):
                assert (answer.status_code, answer.json()["code"]) == (503, "BW-503-busy")
                assert answer.headers["retry-after"] == "1"
                assert seconds < 6
        other.execute("ROLLBACK")
        assert {write(number)[0].status_code for number in range(4)} == {201}
    stands(impatient)


# -- full disks ------------------------------------------------------------------------------------


def fill(server: ServerProcess) -> dict[str, str]:
    """Write until nothing more fits; what was acknowledged."""
    kept: dict[str, str] = {}
    memory = server.memory("agent", timeout=2)

    def write() -> None:
        for number in range(1000):
            memory.set(f"k{number}", "x" * 20_000)
            kept[f"k{number}"] = "x" * 20_000

    with pytest.raises(StorageFull) as full:
        write()
    assert full.value.hint
    answer = httpx.put(f"{server.url}/memory/agent/k0", json={"value": "y" * 2_000_000})
    assert answer.status_code == 507
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "BW-507-storage"
    with pytest.raises(StorageFull):
        memory.set_many({"k0": "y" * 2_000_000, "k1": "y"})
    assert len(kept) > 2
    assert dict(memory.items()) == kept
    assert httpx.get(f"{server.url}/healthz").status_code == 200
    memory.close()
    return kept


def has_room_again(server: ServerProcess, kept: dict[str, str]) -> None:
    with server.memory("agent") as memory:
        memory.set("k0", "short")
        memory.append("list", *["y" * 1000] * 100)
        memory.delete("list")
        assert dict(memory.items()) == {**kept, "k0": "short"}
    stands(server)


@pytest.mark.skipif(sys.platform != "linux", reason="limits another process as Linux can")
def test_a_file_that_may_not_grow_is_507_and_loses_nothing(server: ServerProcess) -> None:
    import resource

    def limit(size: int) -> None:
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    stands(server)
    limit(700_000)
    kept = fill(server)
    limit(resource.RLIM_INFINITY)
    has_room_again(server, kept)
    server.kill()
    server.start()
    has_room_again(server, kept)


def test_a_full_disk_is_507_and_loses_nothing(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 1_000_000)
    with ServerProcess(f"sqlite:///{small_disk}/memory.db") as server:
        kept = fill(server)
        ballast.unlink()
        has_room_again(server, kept)


# -- size ------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_100_000_keys_are_listed_completely(server: ServerProcess) -> None:
    keys = [f"user:{number % 100:02}:{number:06}" for number in range(100_000)]
    with server.memory("agent") as memory:
        for start in range(0, len(keys), 10_000):
            memory.set_many(dict.fromkeys(keys[start : start + 10_000], 1))
        keys.sort()
        assert memory.list_keys() == keys
        answer = httpx.get(f"{server.url}/memory/agent", timeout=60).json()
        assert answer["count"] == 100_000
        assert [entry["key"] for entry in answer["keys"]] == keys
        assert memory.clear() == 100_000
    stands(server)
