"""`make bench-scale`: what one machine holds, on SQLite and on PostgreSQL.

Every rate stands beside bare upserts of the same run: `pgbench` with one prepared INSERT ... ON
CONFLICT DO UPDATE and a commit each, into a table of key and value in the same PostgreSQL, with as
many connections, keys and bytes. Everything is synced to disk. Rounds take turns, figures are
medians, and a ratio is the median of those of its rounds: a machine that is slow for a while is so
for both. Nothing is asserted.
Options: --quick (shorter), and names of parts: servers connections namespaces keys processor
storage.
"""

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import psycopg
from load import VALUE, Load, Places, measure
from table import note, print_table

from botwire.testing import PostgresServer, ServerProcess

QUICK = "--quick" in sys.argv
SECONDS = 1 if QUICK else 2
ROUNDS = 1 if QUICK else 5
LONE_ROUNDS = 3 if QUICK else 11
CONNECTIONS = 64
FEW_TO_MANY = (8, 64) if QUICK else (8, 16, 32, 64, 96)
NAMESPACES = (1, 100) if QUICK else (1, 100, 10_000)
KEYS = (1_000, 100_000) if QUICK else (1_000, 10_000, 100_000, 1_000_000)
STORES = ("SQLite", "PostgreSQL")
VALUES = f"values of {len(VALUE)} bytes"  # for titles

# What a request is called, its method, with an idempotency key or not, by a new server or not.
REQUESTS = (
    ("PUT", "PUT", False, False),
    ("PUT of the library", "PUT", True, False),
    ("GET", "GET", False, False),
    ("PUT of the library, by a server that has written nothing yet", "PUT", True, True),
)

SCRIPT = """\\set n random(0, {keys} - 1)
{statement}
"""
BARE = {
    "upserts": f"INSERT INTO bare VALUES ('k' || :n, '{VALUE}')"
    " ON CONFLICT (key) DO UPDATE SET value = excluded.value;",
    "selects": "SELECT value FROM bare WHERE key = 'k' || :n;",
}


@dataclass(frozen=True)
class Case:
    """A row of a table: which servers are loaded, and with which keys."""

    name: tuple[object, ...]
    urls: tuple[str, ...]
    places: Places


class House:
    """A PostgreSQL server that syncs, and what runs on it; everything ends with the block."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        self.postgres = stack.enter_context(PostgresServer(fsync="on"))
        self._pgbench = self.postgres.bin / "pgbench"
        self._files = 0

    def store(self, kind: str) -> str:
        """The address of a new, empty store."""
        if kind == "PostgreSQL":
            return self.postgres.database()
        self._files += 1
        return f"sqlite:///{self._folder}/{self._files}.db"

    def server(self, store: str) -> ServerProcess:
        return self._stack.enter_context(ServerProcess(store))

    def bare_table(self, keys: int) -> str:
        """The address of a database with a table of so many keys and nothing else."""
        url = self.postgres.database()
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(
                'CREATE TABLE bare (key text COLLATE "C" PRIMARY KEY, value text NOT NULL)'
            )
            connection.execute(
                "INSERT INTO bare SELECT 'k' || n, %s FROM generate_series(0, %s - 1) n",
                [VALUE, keys],
            )
            connection.execute("VACUUM ANALYZE bare")
        return url

    def bare(self, kind: str, url: str, keys: int, connections: int = CONNECTIONS) -> float:
        """Bare upserts (or selects) a second."""
        script = self._folder / f"{kind}.sql"
        script.write_text(SCRIPT.format(keys=keys, statement=BARE[kind]))
        options = ["-n", "-M", "prepared", "-c", str(connections), "-T", str(SECONDS)]
        done = subprocess.run(
            [str(self._pgbench), *options, "-f", str(script), url],
            capture_output=True,
            text=True,
            check=True,
        )
        return next(float(line.split()[2]) for line in done.stdout.splitlines() if "tps" in line)


def fill(server: ServerProcess, places: Places) -> None:
    """Write every key once."""

    def write(namespace: int) -> None:
        with server.memory(f"{places.name}-{namespace}", timeout=60) as memory:
            numbers = range(namespace, places.keys, places.namespaces)
            for first in range(0, len(numbers), 1000):
                part = numbers[first : first + 1000]
                memory.set_many({f"k{number}": VALUE for number in part})

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(write, range(places.namespaces)))


def load(case: Case, method: str, connections: int = CONNECTIONS, seconds: int = SECONDS) -> Load:
    """Load all servers of a case at once, with so many connections together."""
    share = connections // len(case.urls)
    left = connections % len(case.urls)
    with ThreadPoolExecutor(len(case.urls)) as threads:
        loads = list(
            threads.map(
                lambda place: measure(
                    place[1], method, share + (place[0] < left), seconds, case.places
                ),
                enumerate(case.urls),
            )
        )
    return Load(
        sum(each.rate for each in loads),
        statistics.median(each.p50 for each in loads),
        max(each.p99 for each in loads),
    )


def in_turns(
    title: str, tasks: dict[object, Callable[[], float]], rounds: int = ROUNDS
) -> dict[object, list[float]]:
    """Each task's figures, one a round."""
    found: dict[object, list[float]] = {name: [] for name in tasks}
    for number in range(rounds):
        note(f"{title}, round {number + 1} of {rounds}")
        for name, task in tasks.items():
            found[name].append(task())
    return found


def rates(house: House, title: str, head: list[str], cases: list[Case]) -> None:
    """PUT and GET a second of each case beside bare upserts and selects."""
    keys = cases[0].places.keys
    table = house.bare_table(keys)
    tasks: dict[object, Callable[[], float]] = {
        kind: (lambda kind=kind: house.bare(kind, table, keys)) for kind in BARE
    }
    for case in cases:
        for method in ("PUT", "GET"):
            tasks[case.name, method] = lambda case=case, method=method: load(case, method).rate
    found = in_turns(title, tasks)
    upserts = found["upserts"]
    rows = [
        [f"bare {kind}", *[""] * (len(head) - 1), *_pair(found[kind], upserts), "", ""]
        for kind in BARE
    ]
    for case in cases:
        pairs = [_pair(found[case.name, method], upserts) for method in ("PUT", "GET")]
        rows.append([*case.name, *pairs[0], *pairs[1]])
    head += ["PUT a second", "of bare upserts", "GET a second", "of bare upserts"]
    print_table(f"{title}: {CONNECTIONS} connections, {VALUES}", head, rows)


def _pair(rates: list[float], base: list[float]) -> list[str]:
    """A figure and its ratio to another."""
    ratios = [rate / other for rate, other in zip(rates, base, strict=True)]
    return [f"{statistics.median(rates):,.0f}", f"{statistics.median(ratios):.2f}"]


def servers(house: House) -> None:
    """One, two and three servers, each number of them on a store of its own.

    A server writes faster what it wrote last itself, so those of one case leave the others alone.
    """
    places = Places(keys=10_000, namespaces=100)
    cases: list[Case] = []
    for kind in STORES:
        for count in (1, 2, 3):
            store = house.store(kind)
            running = [house.server(store) for _ in range(count)]
            fill(running[0], places)
            cases.append(Case((kind, count), tuple(server.url for server in running), places))
    rates(house, "Servers, 100 namespaces", ["store", "servers"], cases)


def connections(house: House) -> None:
    """One server and more and more who write at a time."""
    places = Places(keys=10_000, namespaces=100)
    table = house.bare_table(places.keys)
    cases: list[Case] = []
    for kind in STORES:
        server = house.server(house.store(kind))
        fill(server, places)
        cases.append(Case((kind,), (server.url,), places))
    tasks: dict[object, Callable[[], float]] = {}
    for count in FEW_TO_MANY:
        tasks["bare", count] = partial(house.bare, "upserts", table, places.keys, count)
        for case in cases:
            tasks[case, count] = lambda case=case, count=count: load(case, "PUT", count).rate
    found = in_turns("Connections, 100 namespaces", tasks)
    rows: list[list[object]] = []
    for count in FEW_TO_MANY:
        upserts = found["bare", count]
        pairs = [each for case in cases for each in _pair(found[case, count], upserts)]
        rows.append([count, f"{statistics.median(upserts):,.0f}", *pairs])
    head = ["connections", "bare upserts"]
    head += [name for kind in STORES for name in (f"PUT a second, {kind}", "of bare")]
    print_table(f"Connections to one server, 100 namespaces, {VALUES}", head, rows)


def namespaces(house: House) -> None:
    """The same keys in more and more namespaces."""
    cases: list[Case] = []
    for kind in STORES:
        server = house.server(house.store(kind))
        for count in NAMESPACES:
            places = Places(f"of-{count}", keys=10_000, namespaces=count)
            fill(server, places)
            cases.append(Case((kind, f"{count:,}"), (server.url,), places))
    rates(house, "Namespaces, one server, 10,000 keys", ["store", "namespaces"], cases)


def keys(house: House) -> None:
    """More and more keys in one namespace."""
    for kind in STORES:
        cases = [_filled(house, kind, count) for count in KEYS]
        _print_keys(house, kind, cases)


def _filled(house: House, kind: str, count: int) -> Case:
    note(f"filling {kind} with {count:,} keys")
    server = house.server(house.store(kind))
    places = Places(keys=count)
    fill(server, places)
    return Case((kind, f"{count:,}"), (server.url,), places)


def _print_keys(house: House, kind: str, cases: list[Case]) -> None:
    tasks: dict[object, Callable[[], float]] = {}
    for case in cases:
        count = case.places.keys
        table = house.bare_table(count)
        tasks["bare", case] = lambda table=table, count=count: house.bare("upserts", table, count)
        tasks["PUT", case] = lambda case=case: load(case, "PUT").rate
        tasks["GET", case] = lambda case=case: load(case, "GET").rate
    found = in_turns(f"Keys on {kind}", tasks)
    # A lone request is quick, so whatever else the machine does shows: many rounds, close together.
    lone: dict[object, Callable[[], float]] = {
        case: (lambda case=case: load(case, "GET", 1, seconds=1).p50) for case in cases
    }
    alone = in_turns(f"A lone GET on {kind}", lone, LONE_ROUNDS)
    first = alone[cases[0]]
    rows = [
        [
            case.name[1],
            f"{statistics.median(found['bare', case]):,.0f}",
            *_pair(found["PUT", case], found["bare", case]),
            *_pair(found["GET", case], found["bare", case]),
            f"{statistics.median(alone[case]):.3f}",
            _pair(alone[case], first)[1],
        ]
        for case in cases
    ]
    head = ["keys", "bare upserts", "PUT a second", "of bare", "GET a second", "of bare"]
    head += ["GET ms, 1 connection", "of the first"]
    title = f"Keys of one namespace on {kind}, one server, {CONNECTIONS} connections, {VALUES}"
    print_table(title, head, rows)


def processor(house: House) -> None:
    """Processor time of a request; it says more than rates where others use the machine, too."""
    rows: list[list[object]] = []
    for kind in STORES:
        store = house.store(kind)
        filled = house.server(store)
        places = Places(keys=10_000, namespaces=NAMESPACES[-1])
        fill(filled, places)
        for name, method, once, new in REQUESTS:
            for connections in (8, CONNECTIONS):
                server = house.server(store) if new else filled
                pids = (server.process.pid, house.postgres.pid)
                case = Case((), (server.url,), replace(places, once=once))
                spent = _spent(case, method, connections, pids)
                rows.append([kind, connections, name, *[f"{each:.0f}" for each in spent]])
    head = ["store", "connections", "request", "server us", "database us"]
    print_table(f"Processor time, {NAMESPACES[-1]:,} namespaces, {VALUES}", head, rows)


def _spent(case: Case, method: str, connections: int, pids: tuple[int, int]) -> list[float]:
    """Microseconds of processor time that a request takes of each process and its children."""
    before = list(map(_processor_seconds, pids))
    requests = load(case, method, connections).rate * SECONDS
    after = map(_processor_seconds, pids)
    return [(late - early) / requests * 1e6 for early, late in zip(before, after, strict=True)]


def _processor_seconds(pid: int) -> float:
    """Of a process, its children, and those that have ended (Linux only)."""
    ticks = 0
    for place in Path("/proc").glob("[0-9]*"):
        try:
            facts = (place / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            continue
        if int(place.name) == pid:
            ticks += sum(map(int, facts[11:15]))
        elif int(facts[1]) == pid:
            ticks += sum(map(int, facts[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")


def storage(house: House) -> None:
    """What PostgreSQL needs on disk, with all indexes."""
    count = KEYS[-1]
    store = house.store("PostgreSQL")
    server = house.server(store)
    note(f"filling {count:,} keys and {NAMESPACES[-1]:,} namespaces")
    entries = Places("stored", keys=count)
    fill(server, entries)
    many = Places("many", keys=NAMESPACES[-1], namespaces=NAMESPACES[-1])
    rows = [_size(store, "entries", "an entry")]
    fill(server, many)
    rows.append(_size(store, "namespaces", "a namespace"))
    with psycopg.connect(store) as connection:
        connection.execute("TRUNCATE botwire.replies")  # those of filling: one for 1,000 keys
    load(Case(("once",), (server.url,), replace(entries, once=True)), "PUT")
    rows.append(_size(store, "replies", "an idempotency key, kept for a day"))
    load(Case(("again",), (server.url,), entries), "PUT")
    rows.append(_size(store, "entries", "an entry, while others are written again"))
    head = ["", "of how many", "table, bytes", "indexes, bytes", "together"]
    print_table(f"Storage in PostgreSQL, {VALUES}", head, rows)


def _size(store: str, table: str, name: str) -> list[object]:
    """A row of the table: bytes of each row of a partitioned table."""
    query = f"""SELECT sum(pg_table_size(relid)), sum(pg_indexes_size(relid)),
        (SELECT count(*) FROM botwire.{table})
        FROM pg_partition_tree('botwire.{table}') WHERE isleaf"""
    with psycopg.connect(store) as connection:
        found = connection.execute(query).fetchone()  # type: ignore[arg-type]
    assert found is not None
    heap, indexes, count = found
    each = [f"{size / count:,.0f}" for size in (heap, indexes, heap + indexes)]
    return [name, f"{count:,}", *each]


PARTS = {
    "servers": servers,
    "connections": connections,
    "namespaces": namespaces,
    "keys": keys,
    "processor": processor,
    "storage": storage,
}

if __name__ == "__main__":
    chosen = [name for name in sys.argv[1:] if not name.startswith("--")]
    for name in chosen or PARTS:
        with ExitStack() as stack:
            PARTS[name](House(stack))
