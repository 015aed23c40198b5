"""What the commands of `botwire` do. Each takes the parsed arguments and returns an exit code."""

import argparse
import dataclasses
import difflib
import json
import os
import re
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from botwire.errors import (
    BotWireError,
    Conflict,
    Forbidden,
    InvalidRequest,
    NotFound,
    QuotaExceeded,
    Unauthorized,
    Unavailable,
)
from botwire.jsontext import check, decode, encode, write
from botwire.memory import Memory
from botwire.runners import HOSTED, public_url, sqlite_path
from botwire.transfer.commands import run_backup, run_copy, run_export, run_import

__all__ = ["explain", "run_backup", "run_copy", "run_export", "run_import"]

EXIT_CODES: tuple[tuple[type[BotWireError], int], ...] = (
    (InvalidRequest, 2),
    (NotFound, 3),
    (Conflict, 4),
    (QuotaExceeded, 5),
    (Unauthorized, 6),
    (Forbidden, 6),
    (Unavailable, 7),
)


def explain(error: BotWireError, *, as_json: bool = False) -> int:
    """Print an error on stderr; returns the exit code it stands for."""
    if as_json:
        _print(error.problem(), file=sys.stderr)
    else:
        hint = f"\n  {error.hint}" if error.hint else ""
        print(f"{error.title.lower()}: {error.detail}{hint}  [{error.code}]", file=sys.stderr)
    return next((code for kind, code in EXIT_CODES if isinstance(error, kind)), 1)


def _memory(given: argparse.Namespace) -> Memory:
    return Memory(given.namespace, url=given.url, timeout=given.timeout)


def _print(facts: dict[str, Any], *, file: Any = None) -> None:
    plain = {k: v.isoformat() if isinstance(v, datetime) else v for k, v in facts.items()}
    text, file = write(plain), file or sys.stdout
    try:
        text.encode(file.encoding or "utf-8")
    except UnicodeEncodeError:  # a terminal that does not know all characters
        text = re.sub(r"[^\x00-\x7f]", lambda found: json.dumps(found[0])[1:-1], text)
    print(text, file=file)


def run_get(given: argparse.Namespace) -> int:
    with _memory(given) as memory:
        entry = memory.entry(given.key)
        if entry is None:
            raise _missing(memory, given.key)
    if given.json:
        _print(dataclasses.asdict(entry))
    else:
        print(entry.value if isinstance(entry.value, str) else encode(entry.value))
    return 0


def _missing(memory: Memory, key: str) -> NotFound:
    near = difflib.get_close_matches(key, [e.key for e in memory.page(values=False).entries], 3)
    hint = f"Near it: {', '.join(near)}." if near else "See what there is: botwire list"
    return NotFound(f"there is no key {key!r} in {memory.namespace!r}", hint=hint)


def run_set(given: argparse.Namespace) -> int:
    value = _value(given.value, as_text=given.text)
    with _memory(given) as memory:
        version = memory.set(
            given.key, value, ttl=given.ttl, sliding=given.sliding, if_version=given.if_version
        )
    if given.json:
        _print({"namespace": given.namespace, "key": given.key, "version": version})
    else:
        kind = {"str": "text", "dict": "object", "list": "array", "NoneType": "null"}
        name = kind.get(type(value).__name__, type(value).__name__)
        print(f"{given.key} = {name}, version {version}", file=sys.stderr)
    return 0


def _value(text: str, *, as_text: bool) -> Any:
    """The argument as a value: JSON where it is JSON, and text where it is not."""
    if text == "-" or text.startswith("@"):
        try:
            text = _read(text).removesuffix("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidRequest(f"cannot read {text.removeprefix('@')!r}: {error}") from error
    if as_text:
        return text
    try:
        return decode(check(text))
    except InvalidRequest:
        return text


def _read(name: str) -> str:
    return sys.stdin.read() if name == "-" else Path(name[1:]).read_text(encoding="utf-8")


def run_delete(given: argparse.Namespace) -> int:
    with _memory(given) as memory:
        if not memory.delete(given.key, if_version=given.if_version):
            raise _missing(memory, given.key)
    if given.json:
        _print({"namespace": given.namespace, "key": given.key, "deleted": True})
    return 0


def run_exists(given: argparse.Namespace) -> int:
    with _memory(given) as memory:
        found = memory.exists(given.key)
    if given.json:
        _print({"namespace": given.namespace, "key": given.key, "exists": found})
    return 0 if found else 3


def run_list(given: argparse.Namespace) -> int:
    with _memory(given) as memory:
        for entry in memory.entries(given.prefix, values=given.values):
            if given.json:
                facts = dataclasses.asdict(entry)
                _print(facts if given.values else {k: v for k, v in facts.items() if k != "value"})
            elif given.values:
                print(f"{entry.key}\t{encode(entry.value)}")
            else:
                print(entry.key)
    return 0


def run_usage(given: argparse.Namespace) -> int:
    with _memory(given) as memory:
        usage = memory.usage()
    if given.json:
        _print(dataclasses.asdict(usage))
        return 0
    writes = f"{usage.writes_today:,}"
    if usage.writes_per_day:
        writes += f" of {usage.writes_per_day:,}; starts anew in {usage.resets_in / 3600:.1f} h"
    size = f"{usage.bytes:,}" + (f" of {usage.namespace_bytes:,}" if usage.namespace_bytes else "")
    print(f"namespace     {usage.namespace}\nkeys          {usage.entries:,}\nbytes         {size}")
    print(f"writes today  {writes}\nversion       {usage.version}")
    return 0


def run_doctor(given: argparse.Namespace) -> int:
    """Say where memory is and whether it answers, without changing anything."""
    url, source = _address(given.url)
    report: dict[str, Any] = {
        "url": public_url(url),
        "chosen_by": source,
        "api_key": "BOTWIRE_API_KEY" if os.environ.get("BOTWIRE_API_KEY") else None,
    }
    error = _check(url, given, report)
    if given.json:
        _print(report | ({"problem": error.problem()} if error else {}))
    else:
        for name, value in report.items():
            print(f"{name.replace('_', ' '):12} {'-' if value is None else value}")
    return explain(error, as_json=False) if error else 0


def _address(url: str | None) -> tuple[str, str]:
    if url:
        return url, "--url"
    if found := os.environ.get("BOTWIRE_URL"):
        return found, "BOTWIRE_URL"
    return HOSTED, "default: the hosted service (set BOTWIRE_URL=sqlite:///memory.db for a file)"


def _check(url: str, given: argparse.Namespace, report: dict[str, Any]) -> BotWireError | None:
    path = _file(url)
    if path is not None and not path.exists():
        parent = next(folder for folder in path.absolute().parents if folder.exists())
        report["state"] = f"{path} does not exist yet; the first write makes it"
        if os.access(parent, os.W_OK):
            return None
        return Unavailable(f"{parent} cannot be written", hint="Choose another place with --url.")
    started = time.perf_counter()
    try:
        with Memory(given.namespace, url=url, timeout=min(given.timeout, 5.0)) as memory:
            usage = memory.usage()
    except BotWireError as error:
        report["state"] = "does not answer"
        return error
    report["state"] = f"answers in {(time.perf_counter() - started) * 1000:.1f} ms"
    report["namespace"] = f"{given.namespace}: {usage.entries:,} keys, {usage.bytes:,} bytes"
    return None


def _file(url: str) -> Path | None:
    path = sqlite_path(url) if url.startswith("sqlite:///") else None
    return None if path is None else Path(path).expanduser()


def run_serve(given: argparse.Namespace) -> int:
    try:
        from botwire_server.serve import serve
        from botwire_server.settings import Settings
    except ImportError as error:
        raise InvalidRequest(
            f"the server is not installed: {error}", hint="pip install 'botwire[server]'"
        ) from error
    options = {k: v for k, v in vars(given).items() if k not in ("verb", "json", "version")}
    if options["api_keys"] is not None:
        options["api_keys"] = Path(options["api_keys"])
    serve(Settings.from_environment(**options))
    return 0


def run_keys(given: argparse.Namespace) -> int:
    try:
        from botwire_server import keys
    except ImportError as error:
        raise InvalidRequest(
            f"the server is not installed: {error}", hint="pip install 'botwire[server]'"
        ) from error
    path = Path(given.api_keys)
    if given.action == "create":
        key, text = keys.create(
            path, name=given.name, prefix=given.prefix, read_only=given.read_only
        )
        _print({"id": key.id, "key": text}) if given.json else print(text)
        print(f"key {key.id} is in {path}; it is shown only now", file=sys.stderr)
    elif given.action == "revoke":
        key = keys.revoke(path, given.id)
        print(f"key {key.id} no longer works", file=sys.stderr)
    else:
        for key in keys.load(path):
            facts = {k: v for k, v in dataclasses.asdict(key).items() if k != "hash"}
            _print(facts) if given.json else print(_key_line(facts))
    return 0


def _key_line(facts: dict[str, Any]) -> str:
    may = "reads" if facts["read_only"] else "reads and writes"
    where = f"namespaces {facts['prefix']}*" if facts["prefix"] else "all namespaces"
    return f"{facts['id']}  {may}, {where}  {facts['name']}".rstrip()
