"""Watch an agent remember: `python examples/replay.py [FILE] [--server]`.

An assistant takes part in several conversations at once and stores every turn, and what the user
stated in it, as it goes. Half way its process is killed (SIGKILL). A second process goes on where
the first one stood; it knows the address of the memory and nothing else. With `--server` the memory
is on a server, which is killed as well and started again while the assistant waits for it.

- The conversations come from FILE (see data/README.md); `slots` stands in for what a language model
  would understand. The assistant never sees `state`: it is compared at the end, by the director.
- One turn is one batch: the turn, the facts and the position are stored together or not at all.
- Read `take_part` first. The rest starts processes, kills them, and looks at what is left.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from botwire import BotWireError, Memory

OURS = Path(__file__).parent / "data" / "conversations.jsonl"
AT_ONCE = 8  # conversations
THINKING = 0.15  # seconds an answer takes, so that there is something to see ...
AT_MOST = 2.0  # ... but no more than this for all of them
KILLED = -9 if os.name == "posix" else 1  # the exit code of a process that was killed


@dataclass(frozen=True)
class Conversation:
    """One conversation: what is said, and what the user wanted at its end."""

    id: str
    turns: list[dict[str, Any]]
    state: dict[str, Any]

    def __post_init__(self) -> None:
        spoken = all(isinstance(turn["speaker"] + turn["text"], str) for turn in self.turns)
        slots = [turn.get("slots", {}) for turn in self.turns]
        if not (self.id and spoken and all(isinstance(s, dict) for s in [*slots, self.state])):
            raise ValueError("a field is empty or of another type")

    def said(self) -> list[dict[str, str]]:
        return [{"speaker": turn["speaker"], "text": turn["text"]} for turn in self.turns]

    def stated(self, turns: int) -> dict[str, Any]:
        """All that the user stated in the first `turns` turns."""
        facts: dict[str, Any] = {}
        for turn in self.turns[:turns]:
            facts |= turn.get("slots", {})
        return facts


def read(path: Path) -> list[Conversation]:
    """The conversations in a file, or the reason why there are none."""
    found: dict[str, Conversation] = {}
    try:
        for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
            if not line.strip():
                continue
            try:
                given = json.loads(line)
                conversation = Conversation(given["id"], given["turns"], given["state"])
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise SystemExit(f"{path}, line {number}: not a conversation ({error!r})") from None
            if conversation.id in found:
                raise SystemExit(f"{path}, line {number}: the id {conversation.id!r} comes twice")
            found[conversation.id] = conversation
    except (OSError, UnicodeDecodeError) as error:
        raise SystemExit(f"cannot read {path}: {error}") from None
    if (turns := sum(len(conversation.turns) for conversation in found.values())) < 4:
        raise SystemExit(f"{path} holds {turns} turns; 4 are needed to kill somebody half way")
    return list(found.values())


# -- the assistant -----------------------------------------------------------------------------


def take_part(memory: Memory, conversation: Conversation) -> Iterator[int]:
    """Go on with a conversation where it stands; yields the number of each turn once it is kept.

    The condition lets nobody store a turn twice, not even a second assistant at the same moment.
    """
    name = conversation.id
    position = memory.entry(f"{name}/position")
    done, version = (position.value, position.version) if position else (0, 0)
    for turn in islice(conversation.turns, done, None):
        done += 1
        with memory.batch() as batch:
            batch.set(f"{name}/position", done, if_version=version)
            batch.append(f"{name}/turns", {"speaker": turn["speaker"], "text": turn["text"]})
            if turn.get("slots"):
                batch.merge(f"{name}/facts", turn["slots"])
        version = batch.results[0]
        yield done


def assist(path: Path, url: str) -> None:
    """Take part in all conversations, and report each turn that is kept with a line on stdout."""
    conversations = read(path)
    pause = min(THINKING, AT_MOST * AT_ONCE / sum(len(c.turns) for c in conversations))

    def attend(conversation: Conversation) -> None:
        for _ in take_part(memory, conversation):
            os.write(sys.stdout.fileno(), b"\n")
            time.sleep(pause)

    with Memory("assistant", url=url) as memory, ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(attend, conversations))  # raises what went wrong in any of them


# -- the processes, and their ends -------------------------------------------------------------


class Server:
    """`botwire serve` on a free port, which it keeps when it is started again."""

    def __init__(self, store: str) -> None:
        self._store = store
        self._port = 0
        self.url = self._start()

    def _start(self) -> str:
        command = [sys.executable, "-m", "botwire.cli", "serve"]
        options = ["--url", self._store, "--port", str(self._port)]
        self._process = subprocess.Popen([*command, *options], stderr=subprocess.PIPE, text=True)
        assert self._process.stderr is not None
        for line in self._process.stderr:
            if '"serving"' in line:  # one of its log lines, which are JSON
                url = json.loads(line)["url"]
                self._port = int(url.rpartition(":")[2])
                return url
            print(line, end="", file=sys.stderr)
        raise SystemExit("the server did not start")

    def crash(self) -> None:
        """Kill it without warning (SIGKILL), and start it again."""
        self._kill()
        self._start()

    def _kill(self) -> None:
        self._process.kill()
        self._process.communicate()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._kill()


class Bar:
    """A line that grows while turns come in; on anything but a terminal only its end is shown."""

    def __init__(self, name: str, total: int) -> None:
        self._name = name
        self._total = total
        self._full, self._empty = "█░" if sys.stdout.encoding.lower() == "utf-8" else "#-"

    def show(self, done: int, note: str = "", end: str = "") -> None:
        if not end and not sys.stdout.isatty():
            return
        cells = 30 * done // self._total
        bar = self._full * cells + self._empty * (30 - cells)
        count = f"{done:,}/{self._total:,} turns"
        start = "\r" if sys.stdout.isatty() else ""
        print(f"{start}  {self._name:15} {bar}  {count:18} {note}", end=end, flush=True)


Process = subprocess.Popen[str]
Plan = list[tuple[int, Callable[[Process], object], str]]


def run_assistant(bar: Bar, path: Path, url: str, done: int, plan: Plan) -> tuple[int, int]:
    """Run the assistant in a process of its own: (turns it reported as kept, its exit code).

    `plan` says after how many turns something happens, and what; `done` turns are kept already.
    """
    plan, before = list(plan), done
    command = [sys.executable, __file__, "--assistant", url, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            for _ in process.stdout:
                done += 1
                bar.show(done)
                while plan and done >= plan[0][0]:
                    _, act, note = plan.pop(0)
                    act(process)
                    if note:
                        bar.show(done, note, end="\n")
        except BaseException:
            process.kill()
            raise
    if process.returncode not in (0, KILLED):
        raise SystemExit(f"\nthe assistant failed with exit code {process.returncode}")
    bar.show(done, "killed (SIGKILL)" if process.returncode else "finished", end="\n")
    return done - before, process.returncode


# -- what is left --------------------------------------------------------------------------------

Kept = dict[str, Any]


def everything(url: str) -> Kept:
    with Memory("assistant", url=url) as memory:
        return dict(memory.items())


def totals(kept: Kept) -> tuple[int, int, int]:
    """How many conversations, turns and facts are remembered."""
    positions = [value for key, value in kept.items() if key.endswith("/position")]
    facts = [value for key, value in kept.items() if key.endswith("/facts")]
    return len(positions), sum(positions), sum(map(len, facts))


def faults(conversations: Sequence[Conversation], kept: Kept, *, at_end: bool) -> list[str]:
    """Where the memory differs from the file: at the end, or at any moment before it."""
    found: list[str] = []
    kept = dict(kept)
    for conversation in conversations:
        name = conversation.id
        position = kept.pop(f"{name}/position", 0)
        if at_end and position != len(conversation.turns):
            found.append(f"{name}: stands at turn {position} of {len(conversation.turns)}")
        if kept.pop(f"{name}/turns", []) != conversation.said()[:position]:
            found.append(f"{name}: the turns are not the first {position}, each once and in order")
        facts = conversation.state if at_end else conversation.stated(position)
        if kept.pop(f"{name}/facts", {}) != facts:
            found.append(f"{name}: the facts are not those that were stated")
    return found + [f"{key}: belongs to no conversation" for key in kept]


def show_summary(conversations: Sequence[Conversation], before: Kept, after: Kept) -> None:
    """What was remembered when the first process was killed, and what at the end."""
    cut = next((c for c in conversations if _unfinished(c, before)), conversations[-1])
    position = before.get(f"{cut.id}/position", 0)
    old, new = (kept.get(f"{cut.id}/facts", {}) for kept in (before, after))
    rows = [
        ("remembered", "when killed", "at the end"),
        *zip(("conversations", "turns", "facts"), totals(before), totals(after), strict=True),
        (),
        (f"in {cut.id!r}", f"turn {position}", f"turn {len(cut.turns)}"),
        *((name, old.get(name, "-"), value) for name, value in new.items()),
    ]
    print()
    for row in rows:
        print("".join(["  ", *(f"{_short(cell):28}" for cell in row)]).rstrip())


def _unfinished(conversation: Conversation, kept: Kept) -> bool:
    return 0 < kept.get(f"{conversation.id}/position", 0) < len(conversation.turns)


def _short(cell: object) -> str:
    text = f"{cell:,}" if isinstance(cell, int) else str(cell)
    return text if len(text) <= 26 else text[:23] + "..."


# -- the director --------------------------------------------------------------------------------


def direct(path: Path, store: str, server: Server | None) -> int:
    """Let the assistant begin, kill it, let it go on; then look at what is remembered."""
    conversations = read(path)
    total = sum(len(conversation.turns) for conversation in conversations)
    url = server.url if server else store
    plan: Plan = [(total // 2, Process.kill, "")]
    if server:
        note = "server killed (SIGKILL) and started again"
        plan.insert(0, (total // 4, lambda _: server.crash(), note))
    reported, code = run_assistant(Bar("first process", total), path, url, 0, plan)
    before = everything(url)
    kept = totals(before)[1]
    again, code_again = run_assistant(Bar("second process", total), path, url, kept, [])
    after = everything(url)
    show_summary(conversations, before, after)
    found = faults(conversations, before, at_end=False) + faults(conversations, after, at_end=True)
    if code != KILLED:
        found.append("the first process had finished before it was killed: try more turns")
    if code_again != 0:
        found.append("the second process was killed, too")
    if not reported <= kept <= reported + AT_ONCE:  # it may die between keeping and reporting
        found.append(f"{reported} turns were reported as kept when it was killed, {kept} were kept")
    if kept + again != total:
        found.append(f"the second process had {total - kept} turns to do and did {again}")
    return _verdict(found, total, len(conversations))


def _verdict(found: Sequence[str], total: int, conversations: int) -> int:
    if found:
        print("\n  NOT what it should be:", *found[:20], sep="\n  ")
        return 1
    print(
        f"\n  Compared with the file: all {total:,} turns are there once and in order,"
        f"\n  and what is remembered of all {conversations:,} conversations is what was stated."
    )
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description="Kill an assistant; see what it remembers.")
    parser.add_argument("file", nargs="?", type=Path, default=OURS, help="conversations to replay")
    parser.add_argument("--server", action="store_true", help="through a server, killed as well")
    parser.add_argument("--assistant", metavar="URL", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.assistant:
        assist(given.file, given.assistant)
        return 0
    for name in list(os.environ):  # neither the caller's settings nor a proxy belong in here
        if name.startswith("BOTWIRE_") or name.lower().endswith("_proxy"):
            del os.environ[name]
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that cannot show everything
    print("\nOn a server:" if given.server else "\nEmbedded, in a file:")
    read(given.file)  # before a server is started in vain
    with tempfile.TemporaryDirectory() as folder:
        store = f"sqlite:///{quote(Path(folder).as_posix(), safe='/:')}/memory.db"
        with Server(store) if given.server else nullcontext() as server:
            return direct(given.file, store, server)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BotWireError as error:
        sys.exit(f"{error.title}: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
