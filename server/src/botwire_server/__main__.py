"""`botwire-server`: the server by the options of the environment; `botwire-server migrate`.

Output, errors and exit codes are those of `botwire`: data on stdout, everything else on stderr.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from botwire.cli import Parser
from botwire.commands import explain
from botwire.errors import BotWireError
from botwire.runners import open_store, public_url
from botwire.stores.sqlite import SQLiteStore
from botwire_server.serve import serve
from botwire_server.settings import Settings

__all__ = ["main"]

WHAT = """Run the server (serve), or bring the schema of its database up to date (migrate).

All options come from BOTWIRE_SERVE_* variables; `botwire serve` has flags for them.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the server, or bring the schema of its database up to date; returns the exit code."""
    given = _parser().parse_args(arguments)
    try:
        if given.action == "migrate":  # it listens nowhere, so it needs no API keys
            settings = Settings.from_environment(url=given.url, open=True)
            return _migrate(settings.url, as_json=given.json)
        serve(Settings.from_environment(url=given.url))
    except BotWireError as error:
        return explain(error, as_json=given.json)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="botwire-server",
        description=WHAT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("action", nargs="?", default="serve", choices=["serve", "migrate"])
    parser.add_argument("--url", help="the store (BOTWIRE_SERVE_URL)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _migrate(url: str, *, as_json: bool) -> int:
    """Print the name of each migration that was applied, and what the state is now."""
    store = open_store(url)
    store.close()
    if isinstance(store, SQLiteStore):
        applied, state = list[str](), _state_of_file(store)
    else:
        applied, state = _migrate_database(url)
    place = public_url(url)
    if as_json:
        _write({"url": place, "applied": applied, "state": state})
        return 0
    sys.stdout.writelines(f"{name}\n" for name in applied)
    sys.stderr.write(f"{place}: {state}\n")
    return 0


def _migrate_database(url: str) -> tuple[list[str], str]:
    from botwire_server.postgres.migrate import migrate_database, migrations  # wants psycopg

    applied, number = migrate_database(url)
    newest = migrations()[-1][0]
    if number > newest:
        return applied, f"has schema {number}, which this version (schema {newest}) works on"
    return applied, f"{'is now' if applied else 'was'} up to date, at schema {number}"


def _state_of_file(store: SQLiteStore) -> str:
    """Files need no migration by hand: whoever opens one brings it up to date."""
    if store.path is None:
        return "lasts as long as its process; there is nothing to migrate"
    if not store.path.exists():
        return "does not exist yet; the first write makes it, up to date"
    store.namespaces(limit=1)
    store.close()
    return "is up to date; a file is brought up to date whenever it is opened"


def _write(data: Any) -> None:
    sys.stdout.write(f"{json.dumps(data, ensure_ascii=False)}\n")


if __name__ == "__main__":
    sys.exit(main())
