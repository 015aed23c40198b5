"""`botwire-server`: the server by the options of the environment; `botwire-server migrate`."""

import argparse
import sys
from collections.abc import Sequence

from botwire.errors import BotWireError
from botwire.runners import open_store, public_url
from botwire_server.serve import serve
from botwire_server.settings import Settings

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the server, or bring the schema of its database up to date; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="botwire-server",
        description="All options come from BOTWIRE_SERVE_* variables; `botwire serve` has flags.",
    )
    parser.add_argument("action", nargs="?", default="serve", choices=["serve", "migrate"])
    parser.add_argument("--url", help="the store (BOTWIRE_SERVE_URL)")
    given = parser.parse_args(arguments)
    settings = Settings.from_environment(url=given.url)
    if given.action == "serve":
        serve(settings)
        return 0
    try:
        sys.stderr.write(f"{_migrate(settings.url)}\n")
    except BotWireError as error:
        sys.stderr.write(f"{error}  [{error.code}]\n")
        return 1
    return 0


def _migrate(url: str) -> str:
    store = open_store(url)
    store.namespaces(limit=1)  # the first use brings it up to date
    store.close()
    applied: list[str] = getattr(store, "migrated", [])
    return f"{public_url(url)}: {', '.join(applied) or 'nothing to do'}"


if __name__ == "__main__":
    sys.exit(main())
