"""What all tests here rely on: scripted models, and another process to read in."""

import base64
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for autogen_scripts, the scripted models


class Elsewhere:
    """Another process, which reads what this one stored in a memory both know."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).parent / "reading_elsewhere.py"), url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def namespace(self) -> str:
        """One that nobody has used."""
        return uuid4().hex

    def read(self, kind: str, namespace: str) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{kind} {namespace}\n")
        self.process.stdin.flush()
        return pickle.loads(base64.b64decode(self.process.stdout.readline()))

    def close(self) -> None:
        self.process.communicate()


@pytest.fixture(scope="session")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Elsewhere]:
    process = Elsewhere(f"sqlite:///{tmp_path_factory.mktemp('shared')}/memory.db")
    yield process
    process.close()
