"""`botwire copy`, `export`, `import` and `backup`. Each returns an exit code."""

import argparse
import json
import os
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import IO, Any

from botwire.errors import BotWireError, InvalidRequest
from botwire.runners import default_url, public_url
from botwire.transfer.backup import backup
from botwire.transfer.copying import Copied, copy
from botwire.transfer.homes import Home, open_home
from botwire.transfer.lines import export_lines, import_lines

__all__ = ["run_backup", "run_copy", "run_export", "run_import"]


class _Progress:
    """One line on a terminal that says how far it has come, a few times a second."""

    def __init__(self, *, shown: bool) -> None:
        self._shown = shown and sys.stderr.isatty()
        self._began = time.monotonic()
        self._said = 0.0
        self._before = self._here = 0  # entries of namespaces that are done, and of this one
        self._name = ""

    def note(self, name: str, entries: int) -> None:
        if name != self._name:
            self._before += self._here
            self._name = name
        self._here = entries
        now = time.monotonic()
        if self._shown and now - self._said > 0.1:
            self._said = now
            total = self._before + entries
            rate = total / max(now - self._began, 0.001)
            text = f"{total:>12,} entries  {rate:>9,.0f}/s  {name[:60]!r}"
            print(f"\r{text:100}", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        if self._said:
            print("\r" + " " * 100 + "\r", end="", file=sys.stderr, flush=True)


@contextmanager
def _progress(given: argparse.Namespace) -> Generator[_Progress]:
    progress = _Progress(shown=not given.json)
    try:
        yield progress
    finally:
        progress.end()


@contextmanager
def _home(url: str | None) -> Generator[Home]:
    home = open_home(url or default_url())
    try:
        yield home
    finally:
        home.close()


def run_copy(given: argparse.Namespace) -> int:
    """Copy namespaces and say of each what was done."""
    if given.source == given.target:
        raise InvalidRequest("source and target are the same")
    with _home(given.source) as source, _home(given.target) as target, _progress(given) as progress:
        options: dict[str, Any] = {"mirror": given.mirror, "note": progress.note}
        count = 0
        for done in copy(source, target, given.namespaces, **options):
            progress.end()
            count += 1
            if given.json:
                print(json.dumps(asdict(done), ensure_ascii=False))
            else:
                print(_line(done))
    print(f"{count:,} namespaces are the same in both, by count and checksum", file=sys.stderr)
    return 0


def _line(done: Copied) -> str:
    expiring = f" and {done.expiring:,} that expire" if done.expiring else ""
    versions = "" if done.exact else ", with new versions"
    return (
        f"{done.namespace}: {done.entries:,} entries (sha256 {done.checksum[:16]}){expiring};"
        f" {done.written:,} written, {done.removed:,} removed{versions}"
    )


def run_export(given: argparse.Namespace) -> int:
    """Write entries as JSON Lines to a file or to stdout."""
    name = _file(given.file)
    with _home(given.url) as source, _output(name) as file, _progress(given) as progress:
        for line in export_lines(source, given.namespaces, note=progress.note):
            file.write(line + "\n")
    return 0


def run_import(given: argparse.Namespace) -> int:
    """Read JSON Lines from a file or from stdin."""
    name = _file(given.file)
    with _home(given.url) as target, _input(name) as file, _progress(given) as progress:
        count = 0
        for _, entries in import_lines(file, target, overwrite=given.overwrite, note=progress.note):
            count += entries
    if given.json:
        print(json.dumps({"entries": count}))
    else:
        print(f"{count:,} entries were imported", file=sys.stderr)
    return 0


def run_backup(given: argparse.Namespace) -> int:
    """Copy a SQLite file while others use it."""
    size = backup(given.url or default_url(), Path(_file(given.file)))
    if given.json:
        print(json.dumps({"file": given.file, "bytes": size}))
    else:
        print(f"{given.file}: {size:,} bytes, checked", file=sys.stderr)
    return 0


def _file(name: str) -> str:
    """The name of a file, unless it is an address: `copy` takes two of those in its place."""
    if "://" in name:
        raise InvalidRequest(
            f"{public_url(name)} is the address of a memory, and a file was expected",
            hint="The address stands behind --url.",
        )
    return name


@contextmanager
def _output(name: str) -> Generator[IO[str]]:
    if name == "-":
        yield sys.stdout
        return
    path = Path(name).resolve()
    special = path.exists() and not path.is_file()  # such as /dev/null: nothing to replace
    whole = path if special else path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        # What agents remember is nobody else's to read.
        with open(whole, "w", encoding="utf-8", opener=partial(os.open, mode=0o600)) as file:
            yield file
        if not special:  # what stood there is gone only when the new one is complete
            whole.replace(path)
    except BotWireError:  # some are also an OSError
        raise
    except OSError as error:
        raise InvalidRequest(f"cannot write {name!r}: {error}") from error
    finally:
        if not special:
            whole.unlink(missing_ok=True)


@contextmanager
def _input(name: str) -> Generator[IO[str]]:
    try:
        if name == "-":
            yield sys.stdin
            return
        with Path(name).open(encoding="utf-8", newline="\n") as file:
            yield file
    except BotWireError:  # some are also an OSError
        raise
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"cannot read {name!r}: {error}") from error
