"""Two processes write into one conversation at once: nothing is lost, doubled or out of order."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from haystack_integrations.chat_message_stores.botwire import BotWireChatMessageStore

SCRIPT = Path(__file__).parent / "writing_alongside.py"
WRITES = 200


def test_two_processes_of_200_writes_each_leave_400_messages_in_each_ones_order(
    url: str, made: Callable[..., Any]
) -> None:
    writers = [
        subprocess.Popen(
            [sys.executable, str(SCRIPT), url, name, str(WRITES)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in ("ada", "bob")
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    for writer in writers:
        _, errors = writer.communicate(timeout=100)
        assert writer.returncode == 0, errors[-2000:]
    store = made(BotWireChatMessageStore("test", url=url))
    said = [str(message.text) for message in store.retrieve_messages("shared")]
    assert len(said) == store.count_messages("shared") == 2 * WRITES
    for name in ("ada", "bob"):
        own = [text for text in said if text.startswith(name)]
        assert own == [f"{name} {number}" for number in range(WRITES)]
    assert said[:WRITES] != [f"ada {n}" for n in range(WRITES)], "they did not run at once"
