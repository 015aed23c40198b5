"""A Dockerfile carried out in a folder, for machines without Docker.

All its stages share one root, in which the paths of the image lie. What would change this machine
(users, installing uv) is left out; everything else is run as it stands: what is copied, what is
built and installed, and at the end the server and its health check.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from uv import find_uv_bin

__all__ = ["Container", "Image", "read_dockerfile"]

PLACES = r"(?<![\w.])/(src|wheels|data|opt/botwire)(?=[/\s\"':]|$)"  # of the image
OF_THE_MACHINE = ("groupadd ", "pip install --no-cache-dir ")


def read_dockerfile(path: Path) -> list[tuple[str, str]]:
    """(instruction, arguments) in order, comments left out and continued lines joined."""
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    whole = "\n".join(lines).replace("\\\n", " ").splitlines()
    return [
        (name, rest.strip()) for name, _, rest in (line.partition(" ") for line in whole if line)
    ]


class Image:
    """What a Dockerfile makes of a checkout, in a folder.

    Attributes:
        environment: the variables of its ENV lines, with the paths of this machine.
        tools: what it would install with pip, and this machine has.
        command, health: what CMD and HEALTHCHECK run.
    """

    def __init__(self, dockerfile: Path, context: Path, root: Path) -> None:
        self.root = root
        self.environment: dict[str, str] = {"PATH": os.environ["PATH"], "HOME": str(root)}
        self.tools: list[str] = []
        self.command: list[str] = []
        self.health: list[str] = []
        self.user = ""
        self._context = context
        self._ignored = dockerfile.with_name(f"{dockerfile.name}.dockerignore").read_text().split()
        self._place = root
        for name, rest in read_dockerfile(dockerfile):
            getattr(self, f"_{name.lower()}", lambda rest: None)(rest)

    def here(self, text: str) -> str:
        """Paths of the image as paths of this machine."""
        return re.sub(PLACES, rf"{self.root}/\1", text)

    def _workdir(self, place: str) -> None:
        self._place = Path(self.here(place))
        self._place.mkdir(parents=True, exist_ok=True)

    def _copy(self, rest: str) -> None:
        if rest.startswith("--from="):
            _, source, target = rest.split()
            assert source == target, "the stages share one root here"
            assert Path(self.here(source)).exists(), source
            return
        source, target = rest.split()
        for file in self._context_files(source):
            new = self._place / target / file.relative_to(self._context / source)
            if (self._context / source).is_file():
                new = self._place / target / file.name
            new.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, new)

    def _context_files(self, source: str) -> Iterator[Path]:
        start = self._context / source
        found = (
            [start] if start.is_file() else [path for path in start.rglob("*") if path.is_file()]
        )
        files = [path for path in found if self._let_through(path.relative_to(self._context))]
        assert files, f"nothing of {source} gets past the .dockerignore"
        yield from files

    def _let_through(self, path: Path) -> bool:
        passes = True
        for line in self._ignored:
            if line.startswith("#"):
                continue
            pattern = line.removeprefix("!")
            if pattern.startswith("**/"):
                hit = any(fnmatch(part, pattern[3:]) for part in path.parts)
            else:
                hit = pattern == "*" or path.is_relative_to(pattern)
            passes = line.startswith("!") if hit else passes
        return passes

    def _run(self, command: str) -> None:
        if not command.startswith(OF_THE_MACHINE):
            self.run(["sh", "-ec", self.here(command)], cwd=self._place)
        elif command.startswith("pip"):
            package = command.split(maxsplit=3)[3]
            self.tools.append(self.run(["sh", "-c", f"echo {package}"], cwd=self._place).strip())

    def run(self, command: list[str], **options: Any) -> str:
        """Run a command as a RUN line does, with what uv has in its cache if that is enough."""
        environment = {**os.environ, "UV_PYTHON": sys.executable}
        environment["PATH"] = f"{Path(find_uv_bin()).parent}{os.pathsep}{environment['PATH']}"
        # The second attempt finds what the first one has made of a virtual environment.
        for more in ({"UV_OFFLINE": "1"}, {"UV_VENV_CLEAR": "1"}):
            done = subprocess.run(
                command, env=environment | more, capture_output=True, text=True, **options
            )
            if done.returncode == 0:
                return done.stdout
        raise AssertionError(f"{command}:\n{done.stderr}")

    def _env(self, rest: str) -> None:
        for part in shlex.split(rest):
            name, _, value = part.partition("=")
            value = value.replace("$PATH", self.environment["PATH"])
            self.environment[name] = self.here(value)

    def _volume(self, place: str) -> None:
        Path(self.here(place)).mkdir(exist_ok=True)

    def _user(self, user: str) -> None:
        self.user = user

    def _cmd(self, command: str) -> None:
        self.command = json.loads(command)

    def _healthcheck(self, rest: str) -> None:
        self.health = json.loads(rest.partition("CMD ")[2])

    # -- using it ----------------------------------------------------------------------------------

    def execute(
        self, command: list[str], environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the image, as `docker run` does, and wait for it."""
        process = self.start(command, environment)
        out, error = process.communicate(timeout=60)
        return subprocess.CompletedProcess(command, process.returncode, out, error)

    def start(
        self, command: list[str], environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[str]:
        """Start a command in the image."""
        given = {**self.environment, **(environment or {})}
        program = shutil.which(command[0], path=given["PATH"])
        assert str(program).startswith(str(self.root)), f"{command[0]} is not in the image"
        return subprocess.Popen(
            [str(program), *command[1:]],
            env=given,
            cwd=self._place,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


class Container:
    """The server of an image on a free port; ready when the constructor returns."""

    def __init__(self, image: Image, environment: Mapping[str, str] | None = None) -> None:
        self._image = image
        self.environment = {**(environment or {}), "BOTWIRE_SERVE_PORT": "0"}
        self.process = image.start(image.command, self.environment)
        assert self.process.stderr is not None
        self.url = ""
        for line in self.process.stderr:
            said = json.loads(line)
            if said["message"] == "serving":
                self.url = f"http://127.0.0.1:{said['url'].rpartition(':')[2]}"
                break
        self._reader = threading.Thread(target=self.process.stderr.read, daemon=True)
        self._reader.start()
        self.port = self.url.rpartition(":")[2]

    def is_healthy(self, check: list[str]) -> bool:
        """Whether a health check, run inside, says so."""
        inside = {**self.environment, "BOTWIRE_SERVE_PORT": self.port}
        return self._image.execute(check, inside).returncode == 0

    def stop(self) -> int:
        """What `docker stop` does; returns the exit code."""
        self.process.terminate()
        code = self.process.wait(60)
        self._reader.join(60)
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.stop()
