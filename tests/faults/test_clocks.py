"""Clocks that jump: what expired stays expired, what lives keeps its time, versions only rise.

A server's clock is moved within its process, the database's below it: a small library in front of
the C library adds what stands in a file.
"""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from botwire import Memory
from botwire.testing import PostgresServer, ServerProcess

HOUR = 3600

SERVERS_CLOCK = """
import sys, time
if "botwire_server" in " ".join(sys.orig_argv):
    wall, path = time.time, {path!r}
    def moved():
        with open(path) as file:
            return wall() + int(file.read() or 0)
    time.time = moved
"""

DATABASES_CLOCK = """
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long offset(void) {
    char text[32] = {0};
    int file = open(PATH, O_RDONLY);
    if (file < 0) return 0;
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    return length > 0 ? atol(text) : 0;
}
int clock_gettime(clockid_t clock, struct timespec *now) {
    int failed = syscall(SYS_clock_gettime, clock, now);
    if (!failed && clock == CLOCK_REALTIME) now->tv_sec += offset();
    return failed;
}
int gettimeofday(struct timeval *now, void *zone) {
    struct timespec fine;
    clock_gettime(CLOCK_REALTIME, &fine);
    now->tv_sec = fine.tv_sec;
    now->tv_usec = fine.tv_nsec / 1000;
    return 0;
}
time_t time(time_t *result) {
    struct timespec fine;
    clock_gettime(CLOCK_REALTIME, &fine);
    if (result) *result = fine.tv_sec;
    return fine.tv_sec;
}
"""


class Clock:
    """Seconds that a clock is ahead of the true time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.set(0)

    def set(self, seconds: int) -> None:
        aside = self.path.with_suffix(".new")
        aside.write_text(str(seconds))
        aside.chmod(0o644)
        aside.rename(self.path)


@pytest.fixture
def servers_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of servers that start from now on."""
    clock = Clock(tmp_path / "offset")
    (tmp_path / "sitecustomize.py").write_text(SERVERS_CLOCK.format(path=str(clock.path)))
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", path)
    return clock


def jumps(clock: Clock, *memories: Memory) -> None:
    """An hour ahead, back, an hour behind; each memory is another way to the same namespace."""
    versions = [memory.set("forever", 0) for memory in memories]
    versions.append(memories[0].set("short", 1, ttl=60))
    versions.append(memories[-1].set("long", 1, ttl=2 * HOUR))
    for ahead, passed in ((0, 0), (HOUR, HOUR), (0, HOUR), (-HOUR, HOUR)):
        clock.set(ahead)
        for memory in memories:
            assert memory.exists("short") is (passed == 0)
            assert ("short" in memory.list_keys()) is (passed == 0)
            left = memory.ttl("long")
            assert left is not None
            assert 2 * HOUR - passed - 60 < left <= 2 * HOUR - passed
            versions.append(memory.set("new", ahead, ttl=0.05))
            time.sleep(0.06)
            assert [each.get("new") for each in memories] == [None] * len(memories)
            versions.append(memory.set("forever", ahead))
    assert versions == sorted(set(versions))


def test_of_a_server_on_a_file_bring_nothing_back(servers_clock: Clock, tmp_path: Path) -> None:
    with ServerProcess(f"sqlite:///{tmp_path}/memory.db") as server:
        jumps(servers_clock, server.memory("agent"))


@pytest.mark.postgres
def test_of_servers_mean_nothing_where_the_database_tells_the_time(
    servers_clock: Clock, botwire_postgres: PostgresServer
) -> None:
    database = botwire_postgres.database()
    with ExitStack() as stack:
        memories: list[Memory] = []
        for ahead in (0, 30 * HOUR, -30 * HOUR):
            servers_clock.set(ahead)  # read by all of them, so they jump together, too
            server = stack.enter_context(ServerProcess(database, writes_per_day=1000))
            memories.append(server.memory("agent"))
        memories[0].set("short", 1, ttl=60)
        for ahead in (0, 30 * HOUR, -30 * HOUR):
            servers_clock.set(ahead)
            for memory in memories:
                left = memory.ttl("short")
                assert left is not None
                assert 40 < left <= 60
                memory.set("new", 1, ttl=0.05)
                time.sleep(0.06)
                assert [each.get("new") for each in memories] == [None] * 3
        usage = [memory.usage() for memory in memories]
        assert {used.writes_today for used in usage} == {10}
        assert max(used.resets_in for used in usage) - min(used.resets_in for used in usage) < 30


@pytest.fixture
def databases_clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Clock, PostgresServer]]:
    """A PostgreSQL server and its clock."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("moving the clock of a database needs a C compiler")
    with tempfile.TemporaryDirectory(prefix="botwire-clock-") as folder:
        place = Path(folder)
        place.chmod(0o755)  # PostgreSQL may run as another user
        clock = Clock(place / "offset")
        (place / "clock.c").write_text(DATABASES_CLOCK)
        library = place / "clock.so"
        define = f'-DPATH="{clock.path}"'
        command = [compiler, "-shared", "-fPIC", "-O1", define, "-o", library, place / "clock.c"]
        subprocess.run(command, check=True, capture_output=True)
        monkeypatch.setenv("LD_PRELOAD", str(library))
        with PostgresServer() as postgres:
            monkeypatch.delenv("LD_PRELOAD")
            yield clock, postgres


@pytest.mark.postgres
def test_of_the_database_bring_nothing_back_on_any_server(
    databases_clock: tuple[Clock, PostgresServer],
) -> None:
    clock, postgres = databases_clock
    database = postgres.database()
    with ExitStack() as stack:
        servers = [stack.enter_context(ServerProcess(database)) for _ in range(3)]
        memories = [server.memory("agent") for server in servers]
        jumps(clock, *memories)
        servers[1].restart()
        fresh = stack.enter_context(ServerProcess(database))
        for memory in (servers[1].memory("agent"), fresh.memory("agent")):
            assert memory.list_keys() == ["forever", "long"]
            assert memory.set("forever", 1) > 2
