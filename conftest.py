"""What every test shares: the fixtures of `botwire.testing`, and that nobody else is called."""

import os
import shutil
import signal
import socket
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest_plugins = ["botwire.testing"]

HERE = ("127.", "::1", "localhost")

# Before any framework is imported; an outer setting stands.
for name, value in {
    "AGENTOPS_LOGGING_TO_FILE": "False",
    "ANONYMIZED_TELEMETRY": "False",
    "CREWAI_DISABLE_TELEMETRY": "true",
    "CREWAI_TESTING": "true",
    "CREWAI_TRACING_ENABLED": "false",
    "HAYSTACK_TELEMETRY_ENABLED": "False",
    "LANGSMITH_TRACING": "false",
}.items():
    os.environ.setdefault(name, value)

for name in ("BOTWIRE_URL", "BOTWIRE_API_KEY", "BOTWIRE_NAMESPACE"):
    os.environ.pop(name, None)  # tests remember in places of their own only

# What a shell starts in the background ignores Ctrl-C, which some tests are about.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _nobody_else_is_called() -> Iterator[None]:
    """Tests reach this machine only."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and not address[0].startswith(HERE):
            raise AssertionError(f"a test calls out to {address!r}")
        connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded)
        yield


@pytest.fixture
def url(tmp_path: Path) -> str:
    """An embedded memory of this test's own."""
    return f"sqlite:///{tmp_path}/memory.db"


@pytest.fixture(scope="session")
def nowhere() -> str:
    """The address of a server that is not there."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount, umount = shutil.which("mount"), shutil.which("umount")
    command = [str(mount), "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)]
    if mount is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("mounting a small file system needs root")
    yield place
    subprocess.run([str(umount), str(place)], check=True)


@pytest.hookimpl(trylast=True)  # after they were shuffled
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What is tested across packages comes first: it takes longest, so it must not be the end."""
    tests = config.rootpath / "tests"
    items.sort(key=lambda item: tests not in item.path.parents)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where tests run in several processes, each tells the one that reports what it started."""
    output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["started"] = _started()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over what one of the processes started (nothing, if it crashed)."""
    _started().extend(getattr(node, "workeroutput", {}).get("started", []))


def _started() -> list[str]:
    from botwire.testing.postgres import started  # pytest must be the first to import it

    return started


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The last lines say which stores ran, and by how many tests: nothing is left out silently."""
    started = _started()
    reports = [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]
    ways = Counter(
        way
        for report in reports
        if report.when == "call"
        for name, way in report.user_properties
        if name == "way"
    )
    if not ways:
        return
    terminalreporter.section("stores")
    terminalreporter.line(", ".join(f"{way}: {ways[way]:,} tests" for way in sorted(ways)))
    if started:
        terminalreporter.line(f"PostgreSQL was {started[0]}")
    else:
        terminalreporter.line("PostgreSQL did NOT run", red=True)
        for report in terminalreporter.getreports("skipped"):
            if "no PostgreSQL is here" in str(report.longrepr):
                terminalreporter.line(str(report.longrepr[2]), red=True)
                break
