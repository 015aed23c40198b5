"""Locks that exclude each other across threads and processes, and end with whoever held them."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from crewai import Agent, Crew, Task
from crewai_core import lock_store
from scripted_model import ScriptedModel

from botwire import Conflict, Memory
from botwire.errors import Busy, Unreachable
from botwire_crewai import botwire_lock_backend

HOLDS = """
import sys
from botwire_crewai import botwire_lock_backend
lock = botwire_lock_backend(url=sys.argv[1], lease=float(sys.argv[2]))
with lock("shared", timeout=30):
    print("held", flush=True)
    sys.stdin.read()
"""

ADDS = """
import sys, pathlib
from botwire_crewai import botwire_lock_backend
lock, file = botwire_lock_backend(url=sys.argv[1]), pathlib.Path(sys.argv[2])
for _ in range(25):
    with lock("counter", timeout=60):
        file.write_text(str(int(file.read_text()) + 1))
"""


def python(code: str, *given: str) -> subprocess.Popen[str]:
    """A process of its own (which imports no crewai)."""
    command = [sys.executable, "-c", code, *given]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, **pipes)  # type: ignore[call-overload]


@pytest.fixture
def holder(url: str) -> Iterator[subprocess.Popen[str]]:
    process = python(HOLDS, url, "1.0")
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_processes_enter_one_after_another(url: str, tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    counter.write_text("0")
    processes = [python(ADDS, url, str(counter)) for _ in range(3)]
    assert [process.communicate(timeout=60) and process.returncode for process in processes] == [
        0
    ] * 3
    assert counter.read_text() == "75"


def test_threads_enter_one_after_another(url: str) -> None:
    lock = botwire_lock_backend(url=url)
    inside, most = 0, 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(5):
            with lock("x", timeout=60):
                inside += 1
                most = max(most, inside)
                time.sleep(0.001)
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_a_lock_that_is_not_free_in_time_says_who_holds_it(
    url: str, holder: subprocess.Popen[str]
) -> None:
    lock = botwire_lock_backend(url=url)
    with pytest.raises(Busy, match=f"process {holder.pid}"), lock("shared", timeout=0.2):
        raise AssertionError("two hold the lock")


def test_a_lock_is_renewed_while_it_is_held(url: str, holder: subprocess.Popen[str]) -> None:
    time.sleep(2.5)  # more than two leases
    lock = botwire_lock_backend(url=url)
    with pytest.raises(Busy), lock("shared", timeout=0):
        raise AssertionError("two hold the lock")


def test_a_lock_ends_with_its_process(url: str, holder: subprocess.Popen[str]) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with botwire_lock_backend(url=url)("shared", timeout=30):
        pass


def test_a_lock_is_free_after_an_error(url: str) -> None:
    lock = botwire_lock_backend(url=url)
    with pytest.raises(KeyError), lock("x", timeout=5):
        raise KeyError("inside")
    with lock("x", timeout=0):
        pass
    assert Memory("crewai-locks", url=url).list_keys() == []


def test_who_lost_the_lock_hears_of_it(url: str) -> None:
    lock = botwire_lock_backend(url=url)
    with pytest.raises(Conflict, match="was lost while it was held"), lock("x", timeout=5):
        Memory("crewai-locks", url=url).set("lock/x", "taken")
    assert Memory("crewai-locks", url=url).get("lock/x") == "taken"  # and does not free others'


def test_a_renewal_whose_answer_was_lost_is_no_loss(url: str) -> None:
    lock = botwire_lock_backend(url=url)
    memory = Memory("crewai-locks", url=url)
    with lock("x", timeout=5):
        memory.set("lock/x", memory.get("lock/x"), ttl=30)  # as the server did it
    assert memory.list_keys() == []


@pytest.mark.parametrize("name", ["sqlite:/a/b.db", "", "\0", "æ" * 300, "\ud800"])
def test_any_name_will_do(url: str, name: str) -> None:
    lock = botwire_lock_backend(url=url)
    with lock(name, timeout=5), pytest.raises(Busy), lock(name, timeout=0):
        pass
    with lock(name + "x", timeout=0):
        pass


def test_a_server_that_is_not_there_is_an_error(nowhere: str) -> None:
    lock = botwire_lock_backend(url=nowhere, lease=0.3)
    with pytest.raises(Unreachable), lock("x", timeout=1):
        pass


@pytest.fixture
def _no_backend_stays() -> Iterator[None]:
    yield
    lock_store.set_lock_backend(None)


@pytest.mark.usefixtures("_no_backend_stays")
def test_crews_use_these_locks(url: str) -> None:
    names: list[str] = []
    ours = botwire_lock_backend(url=url)

    def noting(name: str, *, timeout: float) -> Any:
        names.append(name)
        return ours(name, timeout=timeout)

    lock_store.set_lock_backend(noting)
    agent = Agent(role="r", goal="g", backstory="b", llm=ScriptedModel(script=["done"]))
    task = Task(description="d", expected_output="e", agent=agent)
    Crew(agents=[agent], tasks=[task], tracing=False).kickoff()
    assert names
    assert Memory("crewai-locks", url=url).list_keys() == []
