"""The demo: what it shows, that it can tell right from wrong, and real conversations."""

import importlib.util
import json
import os
import pty
import random
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from botwire import Conflict, Memory

ROOT = Path(__file__).parents[1]
DEMO = ROOT / "examples/replay.py"
OURS = ROOT / "examples/data/conversations.jsonl"
REAL = ROOT.parent / "shared/data/dialogues.jsonl"
needs_real = pytest.mark.skipif(not REAL.exists(), reason=f"{REAL} is not on this machine")


def run(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, DEMO, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def replay() -> Iterator[ModuleType]:
    """The demo as a module."""
    spec = importlib.util.spec_from_file_location("replay", DEMO)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["replay"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules["replay"]


# -- what it shows -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def done() -> subprocess.CompletedProcess[str]:
    """The demo as `make demo` runs it first."""
    return run()


def test_a_killed_assistant_goes_on_where_it_stood(done: subprocess.CompletedProcess[str]):
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"first process .* (\d+)/62 turns +killed \(SIGKILL\)", done.stdout)
    assert re.search(r"second process .* 62/62 turns +finished", done.stdout)
    assert "all 62 turns are there once and in order" in done.stdout
    assert done.stderr == ""


def test_through_a_server_it_rides_over_the_servers_death_too():
    done = run("--server")
    assert done.returncode == 0, done.stdout + done.stderr
    server, first, second = re.findall(r" ([\d,]+)/62 turns +(\S.*)", done.stdout)
    assert server[1] == "server killed (SIGKILL) and started again"
    assert first[1] == "killed (SIGKILL)"
    assert int(server[0]) < int(first[0]) < int(second[0]) == 62
    assert "all 62 turns are there once and in order" in done.stdout


def test_the_summary_shows_what_was_known_when_it_was_killed_and_what_at_the_end(
    done: subprocess.CompletedProcess[str],
):
    lines = [re.split(r"\s{2,}", line.strip()) for line in done.stdout.splitlines()]
    table = {line[0]: line[1:] for line in lines if len(line) == 3}
    assert table["remembered"] == ["when killed", "at the end"]
    assert int(table["turns"][0]) < int(table["turns"][1]) == 62
    assert int(table["facts"][0]) < int(table["facts"][1]) == 45
    assert table["trains.kind"] == ["night train", "night train"]
    assert table["trains.travellers"][1] == "3"


def test_on_a_terminal_the_progress_bar_grows():
    ours, theirs = pty.openpty()
    with subprocess.Popen([sys.executable, DEMO], stdout=theirs, stderr=theirs) as demo:
        os.close(theirs)
        shown = b"".join(iter(lambda: _read(ours), b"")).decode()
    os.close(ours)
    assert demo.returncode == 0, shown
    drawn = [line.count("█") for line in shown.split("\r") if "first process" in line]
    assert drawn == sorted(drawn)
    assert len(set(drawn)) > 10


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux's way to say that the other end is closed
        return b""


def test_settings_of_the_caller_do_not_disturb_it():
    done = run(
        "--server",
        BOTWIRE_URL="http://127.0.0.1:9",
        BOTWIRE_SERVE_WRITES_PER_DAY="1",
        http_proxy="http://127.0.0.1:9",
        PYTHONIOENCODING="ascii",
    )
    assert done.returncode == 0, done.stdout + done.stderr


# -- real conversations --------------------------------------------------------------------------


@needs_real
@pytest.mark.slow
def test_all_real_conversations_are_remembered_embedded():
    done = run(REAL)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all 9,700 turns are there once and in order" in done.stdout
    assert "what is remembered of all 500 conversations is what was stated" in done.stdout


@needs_real
@pytest.mark.slow
def test_real_conversations_are_remembered_on_a_server(tmp_path: Path):
    some = tmp_path / "some.jsonl"
    some.write_text("\n".join(REAL.read_text(encoding="utf-8").split("\n")[:150]))
    done = run(some, "--server")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "what is remembered of all 150 conversations is what was stated" in done.stdout


@pytest.mark.slow
def test_killed_again_and_again_it_loses_and_doubles_nothing(replay: ModuleType, tmp_path: Path):
    """Without a pause between turns, so that kills hit it anywhere in its work."""
    path = REAL if REAL.exists() else OURS
    some = tmp_path / "some.jsonl"
    some.write_text("\n".join(path.read_text(encoding="utf-8").split("\n")[:40]))
    conversations = replay.read(some)
    total = sum(len(conversation.turns) for conversation in conversations)
    url = f"sqlite:///{tmp_path}/memory.db"
    chance = random.Random(7)
    code = "import sys, pathlib, replay; replay.AT_MOST = 0; "
    code += "replay.assist(pathlib.Path(sys.argv[1]), sys.argv[2])"
    stood = 0
    while stood < total:
        with subprocess.Popen(
            [sys.executable, "-c", code, some, url], cwd=DEMO.parent, stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            for _ in range(chance.randrange(1, total // 6)):
                if not process.stdout.readline():
                    break
            process.kill()
        kept = replay.everything(url)
        assert replay.faults(conversations, kept, at_end=False) == []
        assert replay.totals(kept)[1] > stood
        stood = replay.totals(kept)[1]
    assert replay.faults(conversations, kept, at_end=True) == []


# -- it can tell right from wrong ----------------------------------------------------------------


@pytest.fixture
def finished(replay: ModuleType, botwire_memory: Memory) -> dict[str, Any]:
    """What is remembered of our conversations when nobody is killed."""
    for conversation in replay.read(OURS):
        for _ in replay.take_part(botwire_memory, conversation):
            pass
    return dict(botwire_memory.items())


def test_a_memory_without_fault_passes(replay: ModuleType, finished: dict[str, Any]):
    assert replay.faults(replay.read(OURS), finished, at_end=True) == []
    assert replay.faults(replay.read(OURS), finished, at_end=False) == []


def _double(kept: dict[str, Any]) -> None:
    kept["dentist/turns"].append(kept["dentist/turns"][-1])


def _lose(kept: dict[str, Any]) -> None:
    del kept["dentist/turns"][3]


def _swap(kept: dict[str, Any]) -> None:
    turns = kept["dentist/turns"]
    turns[0], turns[1] = turns[1], turns[0]


def _forget(kept: dict[str, Any]) -> None:
    del kept["dentist/facts"]["appointments.allergy"]


def _mix_up(kept: dict[str, Any]) -> None:
    kept["dentist/facts"]["appointments.time"] = "today at 16:45"


def _lag(kept: dict[str, Any]) -> None:
    kept["dentist/position"] -= 1


def _invent(kept: dict[str, Any]) -> None:
    kept["nobody/turns"] = []


@pytest.mark.parametrize("spoil", [_double, _lose, _swap, _forget, _mix_up, _lag, _invent])
def test_what_is_wrong_is_found(
    replay: ModuleType, finished: dict[str, Any], spoil: Callable[[dict[str, Any]], None]
):
    spoil(finished)
    assert replay.faults(replay.read(OURS), finished, at_end=True)


def test_two_assistants_cannot_store_one_turn_twice(replay: ModuleType, botwire_memory: Memory):
    conversation = replay.read(OURS)[0]
    one, other = (replay.take_part(botwire_memory, conversation) for _ in range(2))
    assert next(one) == 1
    assert next(other) == 2  # it begins where the memory stands
    with pytest.raises(Conflict):
        next(one)
    assert list(other)[-1] == len(conversation.turns)
    kept = dict(botwire_memory.items())
    assert replay.faults([conversation], kept, at_end=True) == []


def test_the_assistant_is_given_no_state(replay: ModuleType, botwire_memory: Memory):
    conversation = replay.read(OURS)[0]
    blind = replay.Conversation(conversation.id, conversation.turns, {})
    assert len(list(replay.take_part(botwire_memory, blind))) == 12
    assert botwire_memory.get("night-train/facts") == conversation.state


# -- conversations, good and bad -----------------------------------------------------------------


def test_our_conversations_have_the_documented_form():
    for row in rows(OURS):
        assert row.keys() == {"id", "services", "turns", "state"}
        stated: dict[str, str] = {}
        for number, turn in enumerate(row["turns"]):
            assert turn["speaker"] == ("system" if number % 2 else "user")
            assert turn.keys() <= {"speaker", "text", "slots"}
            stated |= turn.get("slots", {})
        assert row["state"] == stated
        assert {name.split(".")[0] for name in stated} == set(row["services"])


@needs_real
def test_our_conversations_are_our_own():
    theirs = {turn["text"] for row in rows(REAL) for turn in row["turns"]}
    assert not [turn for row in rows(OURS) for turn in row["turns"] if turn["text"] in theirs]


TURN = {"speaker": "user", "text": "hello"}
BAD = {
    "no JSON": "{",
    "no object": "[]",
    "no id": json.dumps({"turns": [TURN], "state": {}}),
    "an empty id": json.dumps({"id": "", "turns": [TURN], "state": {}}),
    "a turn without text": json.dumps({"id": "a", "turns": [{"speaker": "user"}], "state": {}}),
    "a text that is none": json.dumps({"id": "a", "turns": [TURN | {"text": 1}], "state": {}}),
    "slots that are a list": json.dumps({"id": "a", "turns": [TURN | {"slots": []}], "state": {}}),
    "one id twice": "\n".join([json.dumps({"id": "a", "turns": [TURN], "state": {}})] * 2),
    "nothing to kill half way": json.dumps({"id": "a", "turns": [TURN] * 3, "state": {}}),
    "nothing": "",
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD.keys())
def test_a_bad_file_is_refused_with_its_reason(replay: ModuleType, tmp_path: Path, text: str):
    path = tmp_path / "bad.jsonl"
    path.write_text(text)
    with pytest.raises(SystemExit, match=r"bad\.jsonl"):
        replay.read(path)


def test_a_missing_file_is_one_line_and_no_traceback():
    done = run("nowhere.jsonl")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "cannot read nowhere.jsonl: [Errno 2] No such file or directory: 'nowhere.jsonl'"
    ]


def test_what_the_memory_refuses_ends_the_demo_with_its_reason(tmp_path: Path):
    path = tmp_path / "long.jsonl"
    path.write_text(json.dumps({"id": "x" * 600, "turns": [TURN] * 4, "state": {}}))
    done = run(path)
    assert done.returncode == 1
    assert "has 609 bytes; at most 512 are possible" in done.stderr
    assert "Traceback" not in done.stderr


def test_four_turns_will_do(tmp_path: Path):
    path = tmp_path / "short.jsonl"
    path.write_text(json.dumps({"id": "a", "turns": [TURN] * 4, "state": {}}))
    done = run(path, "--server")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all 4 turns are there once" in done.stdout
