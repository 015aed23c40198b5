"""`make bench`: what BotWire costs, beside what it is measured against, as ratios of one run.

Machines are noisy and differ; ratios hold where absolute figures do not. Nothing is asserted.
Options: --quick (shorter), and names of parts: http client embedded append redis.
"""

import itertools
import shutil
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import diskcache
import httpx
from load import VALUE, Load, measure
from serving import serving
from table import interleaved, note, print_table

from botwire import Memory

SECONDS = 1 if "--quick" in sys.argv else 4
ROUNDS = 2 if "--quick" in sys.argv else 5


def http() -> None:
    """GET and durable PUT beside a bare echo, and PUT beside one commit a write."""
    loads: dict[tuple[str, str, int], list[Load]] = {}
    cases = [("echo", "GET"), ("botwire", "GET"), ("echo", "PUT"), ("botwire", "PUT")]
    cases.append(("single", "PUT"))
    with serving("echo") as echo, serving("botwire") as botwire, serving("single") as single:
        urls = {"echo": echo, "botwire": botwire, "single": single}
        for number in range(ROUNDS):
            note(f"HTTP load, round {number + 1} of {ROUNDS}")
            for kind, method in cases:
                for connections in (1, 16, 64):
                    load = measure(urls[kind], method, connections, SECONDS)
                    loads.setdefault((kind, method, connections), []).append(load)
    rows = []
    for (kind, method, connections), found in loads.items():
        rate = statistics.median(load.rate for load in found)
        against = statistics.median(load.rate for load in loads["echo", method, connections])
        rows.append(
            [
                f"{method} {kind}",
                connections,
                f"{rate:,.0f}",
                f"{statistics.median(load.p50 for load in found):.2f}",
                f"{statistics.median(load.p99 for load in found):.2f}",
                f"{rate / against:.2f}",
            ]
        )
    head = ["request", "connections", "a second", "p50 ms", "p99 ms", "of the bare echo"]
    print_table("HTTP on loopback, 140-byte values", head, rows)


def client() -> None:
    """`Memory` over HTTP beside a bare httpx client."""
    with serving("botwire") as url, Memory("bench", url=url) as memory, httpx.Client() as bare:
        address = f"{url}/memory/bench/k1"
        times = interleaved(
            {
                "httpx.Client.get": lambda: bare.get(address).content,
                "Memory.get": lambda: memory.get("k1"),
                "httpx.Client.put": lambda: bare.put(address, json={"value": VALUE}),
                "Memory.set": lambda: memory.set("k1", VALUE),
            },
            repeat=300,
            rounds=ROUNDS,
        )
    _print_times(
        "One client over HTTP on loopback",
        times,
        {"Memory.get": "httpx.Client.get", "Memory.set": "httpx.Client.put"},
    )


def embedded() -> None:
    """Embedded reads and durable writes beside diskcache and beside bare SQLite."""
    with tempfile.TemporaryDirectory() as folder:
        memory = Memory("bench", url=f"sqlite:///{folder}/memory.db")
        cache = diskcache.Cache(f"{folder}/cache")
        value = {"text": VALUE, "step": 1}
        memory.set("k", value)
        cache.set("k", value)
        reads = interleaved(
            {
                "diskcache get": lambda: cache.get("k"),
                "Memory.get": lambda: memory.get("k"),
                "Memory.get, missing": lambda: memory.get("none"),
                "Memory.exists": lambda: memory.exists("k"),
            },
            repeat=3000,
            rounds=ROUNDS,
        )
        _print_times("Embedded reads", reads, dict.fromkeys(reads, "diskcache get"))
        writes = interleaved(
            {
                "bare INSERT + COMMIT": _bare_insert(Path(folder)),
                "Memory.set": lambda: memory.set("k", value),
                "Memory.increment": lambda: memory.increment("n"),
                "diskcache set (not durable)": lambda: cache.set("k", value),
            },
            repeat=200,
            rounds=ROUNDS,
        )
        _print_times("Embedded writes", writes, dict.fromkeys(writes, "bare INSERT + COMMIT"))
        memory.close()
        cache.close()


def _bare_insert(folder: Path) -> Callable[[], object]:
    """The least that a durable write can be with the settings BotWire uses."""
    connection = sqlite3.connect(folder / "bare.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE entries (key TEXT PRIMARY KEY, value TEXT)")
    sql = "INSERT INTO entries VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"

    values = itertools.cycle(
        (VALUE, VALUE[::-1] + "y")
    )  # SQLite writes nothing where nothing changes

    def insert() -> None:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(sql, ("k", next(values)))
        connection.execute("COMMIT")

    return insert


def append() -> None:
    """Appending to lists of different lengths, embedded and durable."""
    with tempfile.TemporaryDirectory() as folder:
        memory = Memory("bench", url=f"sqlite:///{folder}/memory.db")
        message = {"role": "user", "text": VALUE}
        lengths = (10, 1_000, 10_000)
        for length in lengths:
            memory.append(f"list-{length}", *([message] * length))

        def task(length: int) -> Callable[[], object]:
            return lambda: memory.append(f"list-{length}", message)

        times = interleaved(
            {f"at {length:,} items": task(length) for length in lengths},
            repeat=200,
            rounds=ROUNDS,
        )
        _print_times("Memory.append", times, dict.fromkeys(times, "at 10 items"))
        tail = interleaved(
            {f"tail(20) of {n:,}": (lambda n=n: memory.tail(f"list-{n}", 20)) for n in lengths},
            repeat=200,
            rounds=ROUNDS,
        )
        _print_times("Memory.tail", tail, dict.fromkeys(tail, "tail(20) of 10"))
        memory.close()


def redis() -> None:
    """Redis with `appendfsync always` behind its own client, where redis-server is installed."""
    if shutil.which("redis-server") is None:
        note("redis-server is not installed: left out")
        return
    from redis import Redis

    with tempfile.TemporaryDirectory() as folder, serving("botwire") as url:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        options = ["--appendonly", "yes", "--appendfsync", "always", "--dir", folder, "--save", ""]
        server = subprocess.Popen(
            ["redis-server", "--port", str(port), *options], stdout=subprocess.DEVNULL
        )
        peer = Redis(port=port)
        memory = Memory("bench", url=url)
        try:
            _until_ready(peer)
            times = interleaved(
                {
                    "Redis get": lambda: peer.get("k"),
                    "Memory.get over HTTP": lambda: memory.get("k1"),
                    "Redis set, fsync": lambda: peer.set("k", VALUE),
                    "Memory.set over HTTP, fsync": lambda: memory.set("k1", VALUE),
                },
                repeat=300,
                rounds=ROUNDS,
            )
        finally:
            peer.close()
            memory.close()
            server.terminate()
            server.wait()
    _print_times(
        "Beside Redis, one client each",
        times,
        {
            "Memory.get over HTTP": "Redis get",
            "Memory.set over HTTP, fsync": "Redis set, fsync",
        },
    )


def _until_ready(peer: object) -> None:
    from redis.exceptions import ConnectionError as NotYet

    for _ in range(200):
        try:
            peer.ping()  # type: ignore[attr-defined]
            return
        except NotYet:
            time.sleep(0.05)


def _print_times(title: str, times: dict[str, float], against: dict[str, str]) -> None:
    rows = []
    for name, micros in times.items():
        base = against.get(name)
        ratio = f"{micros / times[base]:.2f} x {base}" if base and base != name else ""
        rows.append([name, f"{micros:,.1f}", f"{1e6 / micros:,.0f}", ratio])
    print_table(title, ["", "us", "a second", "time"], rows)


PARTS = {"http": http, "client": client, "embedded": embedded, "append": append, "redis": redis}

if __name__ == "__main__":
    chosen = [name for name in sys.argv[1:] if not name.startswith("--")]
    for name in chosen or PARTS:
        PARTS[name]()
