"""Handles: when their connection opens, who shares it, and when it is given back."""

import gc
import os
import signal
import subprocess
import sys
import threading
import traceback
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from botwire import AsyncMemory, Memory, runners
from botwire.errors import InvalidRequest
from botwire.runners import public_url
from botwire.stores.sqlite import SQLiteStore


def open_files(folder: Path) -> list[str]:
    """The files of this folder that this process holds open."""
    links = (link for link in Path("/proc/self/fd").iterdir() if link.is_symlink())
    targets = (str(link.readlink()) for link in links)
    return [target for target in targets if target.startswith(str(folder))]


needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="no /proc here")


@needs_proc
def test_building_a_memory_touches_nothing(tmp_path: Path) -> None:
    memory = Memory("agent", url=f"sqlite:///{tmp_path}/memory.db")
    assert list(tmp_path.iterdir()) == []
    memory.get("k")
    assert open_files(tmp_path)
    memory.close()
    assert open_files(tmp_path) == []


@needs_proc
def test_the_last_one_to_close_closes_the_file(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/memory.db"
    first, second = Memory("a", url=url), Memory("b", url=url)
    first.set("k", 1)
    second.set("k", 1)
    first.close()
    assert open_files(tmp_path)
    second.close()
    assert open_files(tmp_path) == []


@pytest.fixture
def hasty_threads() -> Iterator[None]:
    """Threads take turns at almost every step."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@needs_proc
@pytest.mark.usefixtures("hasty_threads")
def test_threads_that_open_one_memory_at_once_leave_nothing_open(tmp_path: Path) -> None:
    for attempt in range(20):
        memory = Memory("agent", url=f"sqlite:///{tmp_path}/{attempt}.db")
        start = threading.Barrier(8)

        def read(number: int, memory: Memory = memory, start: threading.Barrier = start) -> None:
            start.wait()
            memory.get(str(number))

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(read, range(8)))
        memory.close()
        assert open_files(tmp_path) == []


@needs_proc
def test_the_file_of_a_forgotten_memory_is_closed_when_the_next_one_opens(tmp_path: Path) -> None:
    memory = Memory("agent", url=f"sqlite:///{tmp_path}/memory.db")
    memory.set("k", 1)
    del memory
    gc.collect()
    Memory("other", url="memory://").get("k")
    assert open_files(tmp_path) == []


def test_a_store_that_was_handed_in_stays_open(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "memory.db")
    with Memory("agent", store=store) as memory:
        memory.set("k", 1)
    assert Memory("agent", store=store).get("k") == 1
    store.close()


def test_a_memory_in_a_store_of_its_own_cannot_be_pickled_and_says_why(tmp_path: Path) -> None:
    import pickle

    memory = Memory("agent", store=SQLiteStore(tmp_path / "memory.db"))
    with pytest.raises(TypeError, match="make it with url="):
        pickle.dumps(memory)


def test_an_api_key_never_leaves_the_process_or_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    import pickle

    memory = Memory("agent", url="https://me:geheim@example.com", api_key="secret-key")
    for text in (repr(memory), pickle.dumps(memory).decode("latin-1")):
        assert "secret-key" not in text
    assert "geheim" not in repr(memory)


@pytest.mark.parametrize(
    "url",
    [
        *("https://me:geheim@host/base", "https://:geheim@host", "postgresql://me:geheim@/db"),
        *("https://me:ge/heim@host", "https://me:ge#heim@host", "https://me:ge?heim@host:80"),
        *("https://me:ge@heim@host", "https://me:ge[heim@host", "https://me:1/geheim@host"),
        *(
            "postgresql://host/db?user=me&password=geheim",
            "postgresql:///db?sslpassword=geheim&a=b",
        ),
    ],
)
def test_no_message_shows_the_password_of_an_address(url: str) -> None:
    memory = Memory("agent", url=url)
    assert "heim" not in repr(memory)
    assert "heim" not in repr(memory.to_async())
    with pytest.raises(InvalidRequest) as refused:
        Memory("agent", url=url.replace("https", "htps").replace("postgresql", "mysql")).get("k")
    assert "heim" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        *("https://host/base", "http://localhost:8000", "sqlite:///a:b@c.db", "memory://"),
        *("postgresql://me@host:5432/db?sslmode=require", "sqlite:////var/user:1@host/memory.db"),
    ],
)
def test_an_address_without_a_password_is_shown_as_it_is(url: str) -> None:
    assert public_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        *("http://localhost:port", "http://localhost:99999", "http://[::1", "http://", "http:///x"),
        *("https://me:ge/heim@localhost", "https://me:ge#heim@localhost"),
    ],
)
def test_an_address_of_no_server_is_refused_before_anything_is_sent(url: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        Memory("agent", url=url).get("k")
    report = "".join(traceback.format_exception(refused.value))
    assert "no address of a server" in report
    assert "%2F" in refused.value.hint
    assert "heim" not in report


@pytest.mark.parametrize("api_key", ["geheim\n", " geheim", "geh\0eim", "gehéim", "geheim\r\nx: y"])
def test_an_api_key_that_cannot_be_sent_is_refused_without_showing_it(api_key: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        Memory("agent", url="http://127.0.0.1:9", api_key=api_key, timeout=1).get("k")
    assert "API key" in str(refused.value)
    assert "eim" not in str(refused.value)


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), "5", None])
def test_what_is_no_timeout_is_refused(timeout) -> None:
    with pytest.raises(InvalidRequest, match="timeout"):
        Memory("agent", url="memory://", timeout=timeout)


@pytest.mark.parametrize(
    "url", ["", "memory.db", "sqlite://memory.db", "redis://x", "sqlite:/memory.db", "://", "file"]
)
def test_an_address_that_is_none_is_refused_with_what_it_should_be(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOTWIRE_URL", "nonsense")
    with pytest.raises(InvalidRequest) as refused:
        Memory("agent", url=url).get("k")
    assert "sqlite:///" in str(refused.value)


def test_the_address_comes_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOTWIRE_URL", f"sqlite:///{tmp_path}/memory.db")
    with Memory("agent") as memory:
        memory.set("k", 1)
    assert (tmp_path / "memory.db").exists()
    monkeypatch.delenv("BOTWIRE_URL")
    assert Memory("agent").url == "https://botwire.dev"


def test_importing_botwire_imports_neither_httpx_nor_sqlite() -> None:
    code = "import botwire, sys; print([m for m in ('httpx', 'sqlite3') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


FORK_WITH_STORE = """
import os, sys
from botwire import Memory
from botwire.stores.sqlite import SQLiteStore

memory = Memory("agent", store=SQLiteStore(sys.argv[1]))
memory.set("n", 0)
memory.get("n")
children = []
for _ in range(4):
    pid = os.fork()
    if not pid:
        try:
            for _ in range(25):
                memory.increment("n")
                memory.get("n")
            os._exit(0)
        finally:
            os._exit(1)
    children.append(pid)
for _ in range(25):
    memory.increment("n")
assert not any(os.waitpid(pid, 0)[1] for pid in children)
assert memory.get("n") == 125, memory.get("n")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_store_that_was_handed_in_survives_a_fork(tmp_path: Path) -> None:
    arguments = [sys.executable, "-c", FORK_WITH_STORE, str(tmp_path / "memory.db")]
    subprocess.run(arguments, check=True, timeout=60)


CHILD_OF_PROCESS_MEMORY = """
import os
from botwire import Memory

memory = Memory("agent", url="memory://")
memory.set("k", 1)
pid = os.fork()
if not pid:
    assert memory.get("k") == 1
    memory.set("k", "child")
    os._exit(0 if memory.get("k") == "child" else 1)
assert os.waitpid(pid, 0)[1] == 0
assert memory.get("k") == 1
"""


@pytest.mark.parametrize("url", ["memory://", "sqlite:///:memory:", "sqlite://"])
def test_memory_of_the_process_alone_is_one_for_all_and_outlives_every_handle(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Memory("one for all", url=url) as first:
        first.set("k", 1)
    assert Memory("one for all", url=url).get("k") == 1
    assert Memory("one for all", url=url, timeout=5).get("k") == 1
    assert Memory("one for all", url=url, api_key="key").get("k") == 1
    monkeypatch.setenv("BOTWIRE_API_KEY", "another")
    assert Memory("one for all", url=url).get("k") == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_memory_of_the_process_alone_is_copied_by_a_fork() -> None:
    subprocess.run([sys.executable, "-c", CHILD_OF_PROCESS_MEMORY], check=True, timeout=60)


FORKS_AMONG_THREADS = """
import os, sys, threading
from botwire import Memory
from botwire.stores.sqlite import SQLiteStore

sys.setswitchinterval(1e-5)
sys.unraisablehook = lambda met: os._exit(2)  # what a fork could not lay to rest
url, over = f"sqlite:///{sys.argv[1]}/memory.db", threading.Event()
memory = Memory("agent", url=url)
memory.set("k", list(range(1000)))

def work(step):
    while not over.is_set():
        step()

def fork():
    for _ in range(50):
        pid = os.fork()
        if pid == 0:
            os._exit(0 if memory.get("k") and Memory("child", url=url).set("k", 1) else 1)
        assert os.waitpid(pid, 0)[1] == 0

steps = {
    "open": lambda: SQLiteStore(None),
    "read": lambda: memory.get_many(["k"]),
    "open and read": lambda: Memory("agent", url=url).get("k"),
}
workers = [threading.Thread(target=work, args=(steps[name],)) for name in sys.argv[2:]]
forking = [threading.Thread(target=fork) for _ in range(2)]
for thread in [*workers, *forking]:
    thread.start()
for thread in forking:
    thread.join()
over.set()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("steps", [("open", "open"), ("read", "read"), ("open and read", "read")])
def test_a_fork_among_threads_leaves_child_and_parent_usable(
    steps: tuple[str, ...], tmp_path: Path
) -> None:
    arguments = [sys.executable, "-c", FORKS_AMONG_THREADS, str(tmp_path), *steps]
    with subprocess.Popen(arguments, start_new_session=True) as process:
        try:
            assert process.wait(60) == 0
        finally:  # with children that hang
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


class TakenByOthers(deque[runners.Connection]):
    """Between a look at it and a take from it another thread took everything."""

    def __bool__(self) -> bool:
        found = len(self) > 0
        self.clear()
        return found


def test_threads_that_give_dropped_memories_back_at_once_meet_no_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runners, "_dropped", TakenByOthers())
    Memory("agent", url="memory://").get("k")
    gc.collect()
    assert Memory("agent", url="memory://").get("k") is None


COLLECTED_WHILE_CONNECTING = """
import gc, sys
from botwire import Memory

class Node:
    pass

def cycle(number):
    node = Node()
    node.memory, node.me = Memory("agent", url=f"sqlite:///{sys.argv[1]}/{number % 5}.db"), node
    node.memory.get("k")

gc.set_threshold(1)
for number in range(300):
    cycle(number)
    Memory("other", url=f"sqlite:///{sys.argv[1]}/{number % 3}.db").set("k", number)
"""


def test_memories_that_are_collected_at_any_moment_block_nobody(tmp_path: Path) -> None:
    arguments = [sys.executable, "-c", COLLECTED_WHILE_CONNECTING, str(tmp_path)]
    subprocess.run(arguments, check=True, timeout=60)


def test_an_async_memory_wants_its_batch_awaited() -> None:
    with pytest.raises(TypeError, match="async with"), AsyncMemory("a", url="memory://").batch():
        pass


async def test_a_memory_wants_its_batch_unawaited() -> None:
    with pytest.raises(TypeError, match="'with'"):
        async with Memory("a", url="memory://").batch():
            pass


async def test_an_async_update_takes_a_function_that_is_awaited() -> None:
    memory = AsyncMemory("async update", url="memory://")

    async def add(value: list[int]) -> list[int]:
        return [*value, await memory.increment("n")]

    assert await memory.update("k", add, default=[]) == [1]
    assert await memory.update("k", add, default=[]) == [1, 2]


def test_a_store_that_could_not_be_made_leaves_no_second_error_behind() -> None:
    with pytest.raises(TypeError):
        SQLiteStore(None, nothing=1)  # pyright: ignore[reportCallIssue]
    gc.collect()  # pytest fails a test in which a destructor raised


NEVER_CLOSED = """
import asyncio, sys
from botwire import AsyncMemory, Memory
from botwire.stores.sqlite import SQLiteStore

Memory("agent", store=SQLiteStore(None)).set("k", 1)
memory = Memory("agent", url="memory://")
memory.set("k", 1)
others = Memory("agent", url=f"sqlite:///{sys.argv[1]}/memory.db")
others.set("k", 1)
asyncio.run(AsyncMemory("agent", url=f"sqlite:///{sys.argv[1]}/other.db").set("k", 1))
"""


def test_a_program_that_closes_nothing_ends_without_a_warning(tmp_path: Path) -> None:
    # Python 3.13 and later say which databases were not closed.
    program = [sys.executable, "-X", "dev", "-W", "error", "-c", NEVER_CLOSED, str(tmp_path)]
    ended = subprocess.run(program, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
