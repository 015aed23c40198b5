"""`botwire`: memories on the command line.

- Data goes to stdout, everything else to stderr; `--json` works with every command.
- Exit codes: 0 ok, 1 error, 2 usage, 3 not found, 4 conflict, 5 quota, 6 API key, 7 unreachable,
  130 interrupted. A missing key is 3, so a script can tell it from an empty value.
- This file holds the arguments only, and imports what a command needs when it runs, so that
  `botwire --help` answers at once; the commands are in `commands.py`.
"""

import argparse
import difflib
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

__all__ = ["Parser", "main"]

HELP = """Persistent memory for agents, from the command line.

  botwire set greeting hello --url sqlite:///memory.db
  botwire get greeting --url sqlite:///memory.db
  botwire serve --url sqlite:///memory.db
"""
UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class Parser(argparse.ArgumentParser):
    """Says what was wrong with the arguments: what is near to it, and no password."""

    def error(self, message: str) -> NoReturn:
        from botwire.runners import public_url

        wrong = re.search(r"invalid choice: '([^']*)' \(choose from (.*)\)", message)
        if wrong:
            known = re.findall(r"[\w-]+", wrong[2])
            near = difflib.get_close_matches(wrong[1], known, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(known)}"
            message = f"there is no {wrong[1]!r}; {hint}"
        super().error(public_url(message))


def _seconds(text: str) -> float:
    """A duration: 90, 30s, 5m, 1h or 7d."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration; write 30s, 5m, 1h or 7d")
    return float(found[1]) * UNITS[found[2]]


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="botwire", description=HELP, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="store_true", help="print the version")
    verbs = parser.add_subparsers(dest="verb", metavar="COMMAND", parser_class=Parser)
    output = argparse.ArgumentParser(add_help=False)
    output.add_argument("--json", action="store_true", help="print JSON")
    place = argparse.ArgumentParser(add_help=False, parents=[output])
    place.add_argument("--url", help="sqlite:///FILE or a server's http://... (BOTWIRE_URL)")
    place.add_argument(
        "-n",
        "--namespace",
        default=os.environ.get("BOTWIRE_NAMESPACE", "default"),
        help="whose memory it is (BOTWIRE_NAMESPACE; 'default')",
    )
    place.add_argument("--timeout", type=_seconds, default=30.0, help="seconds to wait at most")
    _add_entry_verbs(verbs, place)
    _add_namespace_verbs(verbs, place)
    _add_transfer_verbs(verbs, output)
    _add_serve(verbs, output)
    _add_keys(verbs, output)
    return parser


def _add_entry_verbs(verbs: Any, place: argparse.ArgumentParser) -> None:
    get = verbs.add_parser("get", parents=[place], help="print the value of a key")
    get.add_argument("key")
    put = verbs.add_parser("set", parents=[place], help="write the value of a key")
    put.add_argument("key")
    put.add_argument("value", help="JSON, or else text; - reads stdin, @FILE a file")
    put.add_argument("--text", action="store_true", help="store the value as text in any case")
    put.add_argument("--ttl", type=_seconds, help="time to live: 30s, 5m, 1h, 7d")
    put.add_argument("--sliding", action="store_true", help="reading starts the time anew")
    put.add_argument("--if-version", type=int, help="only at this version; 0: only if missing")
    delete = verbs.add_parser("delete", parents=[place], help="delete a key")
    delete.add_argument("key")
    delete.add_argument("--if-version", type=int, help="only at this version")
    exists = verbs.add_parser("exists", parents=[place], help="exit with 0 if a key exists, else 3")
    exists.add_argument("key")


def _add_namespace_verbs(verbs: Any, place: argparse.ArgumentParser) -> None:
    listing = verbs.add_parser("list", parents=[place], help="print the keys")
    listing.add_argument("prefix", nargs="?", default="")
    listing.add_argument("--values", action="store_true", help="with their values")
    verbs.add_parser("usage", parents=[place], help="what the namespace holds and may hold")
    verbs.add_parser("doctor", parents=[place], help="say where memory is and whether it answers")


def _add_transfer_verbs(verbs: Any, output: argparse.ArgumentParser) -> None:
    some = argparse.ArgumentParser(add_help=False, parents=[output])
    some.add_argument(
        "-n",
        "--namespace",
        dest="namespaces",
        action="append",
        default=[],
        metavar="NAME",
        help="this one; may be given several times (all, but a server does not tell them)",
    )
    where = argparse.ArgumentParser(add_help=False)
    where.add_argument("--url", help="sqlite:///FILE, postgresql://... or http://... (BOTWIRE_URL)")
    copy = verbs.add_parser("copy", parents=[some], help="copy namespaces to another home")
    copy.add_argument("source", help="sqlite:///FILE, postgresql://... or a server's http://...")
    copy.add_argument("target", help="the same")
    copy.add_argument(
        "--mirror",
        action="store_true",
        help="overwrite what differs in the target, remove what the source does not have",
    )
    export = verbs.add_parser("export", parents=[some, where], help="write entries as JSON Lines")
    export.add_argument("file", nargs="?", default="-", help="(stdout)")
    restore = verbs.add_parser("import", parents=[output, where], help="read what export wrote")
    restore.add_argument("file", nargs="?", default="-", help="(stdin)")
    restore.add_argument("--overwrite", action="store_true", help="also what is newer there")
    backup = verbs.add_parser(
        "backup", parents=[output, where], help="copy a SQLite file while others use it"
    )
    backup.add_argument("file", help="the new file")


def _add_serve(verbs: Any, output: argparse.ArgumentParser) -> None:
    serve = verbs.add_parser(
        "serve",
        parents=[output],
        help="start a server",
        description="Every option is also an environment variable: --port is BOTWIRE_SERVE_PORT.",
    )
    serve.add_argument("--url", help="the store (sqlite:///botwire.db)")
    serve.add_argument("--host", help="where to listen (127.0.0.1)")
    serve.add_argument("--port", type=int, help="0 takes a free one (8000)")
    serve.add_argument("--api-keys", metavar="FILE", help="every call then needs a key")
    for name, text in {
        "writes-per-day": "quota of a namespace (none)",
        "namespace-bytes": "quota of a namespace (none)",
        "value-bytes": "largest value (10,000,000)",
        "request-bytes": "largest request (32,000,000)",
        "shutdown-seconds": "time for requests to end after SIGTERM (30)",
    }.items():
        serve.add_argument(f"--{name}", type=int, metavar="N", help=text)
    for name, text in {
        "free-tier": "1,000 writes a day and 50 MB for each namespace",
        "open": "listen beyond this machine without API keys",
        "require-conditions": "changing an entry by path needs If-Match",
        "access-log": "a line for each request",
        "trust-trace": "take the sampling decision of callers (on)",
    }.items():
        serve.add_argument(
            f"--{name}", action=argparse.BooleanOptionalAction, default=None, help=text
        )


def _add_keys(verbs: Any, output: argparse.ArgumentParser) -> None:
    keys = verbs.add_parser("keys", help="API keys of a server")
    actions = keys.add_subparsers(dest="action", metavar="ACTION", required=True)
    file = argparse.ArgumentParser(add_help=False, parents=[output])
    file.add_argument(
        "--api-keys",
        metavar="FILE",
        default=os.environ.get("BOTWIRE_SERVE_API_KEYS", "keys.json"),
        help="the file of keys (BOTWIRE_SERVE_API_KEYS; keys.json)",
    )
    create = actions.add_parser("create", parents=[file], help="make a key and print it, once")
    create.add_argument("--name", default="", help="what it is for")
    create.add_argument("--prefix", default="", help="only namespaces that start with this")
    create.add_argument("--read-only", action="store_true")
    actions.add_parser("list", parents=[file], help="print what is known of the keys")
    revoke = actions.add_parser("revoke", parents=[file], help="end a key")
    revoke.add_argument("id")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if given.version:
        from botwire import __version__

        print(__version__)
        return 0
    if given.verb is None:
        parser.print_help()
        return 2
    return _guarded(given)


def _guarded(given: argparse.Namespace) -> int:
    """Run the command and turn what it raises into a message and an exit code."""
    from botwire import commands
    from botwire.errors import BotWireError, InvalidRequest

    run: Callable[[argparse.Namespace], int] = getattr(commands, f"run_{given.verb}")
    try:
        return run(given)
    except BotWireError as error:
        return commands.explain(error, as_json=given.json)
    except UnicodeEncodeError as error:
        return commands.explain(
            InvalidRequest(
                f"what is to be printed holds characters that {error.encoding!r} does not have",
                hint="With --json they are printed as escapes.",
            )
        )
    except BrokenPipeError:  # the reader of our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
