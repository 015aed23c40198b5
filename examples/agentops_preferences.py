"""An assistant that keeps a user's preferences and where the conversation stands, seen in AgentOps.

    python examples/agentops_preferences.py ada "I prefer window seats."
    python examples/agentops_preferences.py ada "Book me a train to Turin."
    python examples/agentops_preferences.py ada "Tomorrow at nine."

Each command is a session of its own, and goes on where the one before stopped. Memory is in
memory.db beside you, or on the server that BOTWIRE_URL names. With AGENTOPS_API_KEY set, each
session shows there with what it remembered. Needs: pip install "botwire[agentops]"
"""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import agentops

import botwire_agentops
from botwire import Memory
from botwire_agentops import record_function, record_tool

DAY = 86400
PREFERS = re.compile(r"I (?:prefer|like) (?P<what>[\w ]+)", re.IGNORECASE)
BOOKS = re.compile(r"book .*\bto (?P<where>\w+)", re.IGNORECASE)


class Assistant:
    """One user's assistant.

    Args:
        user: who talks; any text.
        url: where to remember.
    """

    def __init__(self, user: str, url: str) -> None:
        self.memory = Memory(f"assistant:{user}", url=url)

    def hear(self, text: str) -> str:
        """Answer, with preferences and the state of the conversation in mind."""
        state = self.recall()
        if found := PREFERS.search(text):
            self.learn(found["what"])
            return "I will remember that."
        return " ".join(self.book(text, state))

    @record_function("recall state")
    def recall(self) -> dict[str, Any]:
        """What the conversation is about; it is forgotten after a day without a word."""
        return self.memory.get("state", {})

    @record_function("learn preference")
    def learn(self, what: str) -> None:
        self.memory.update(
            "preferences", lambda known: [*(p for p in known if p != what), what], default=[]
        )

    @record_tool("book a train")
    def book(self, text: str, state: dict[str, Any]) -> Iterator[str]:
        """Ask for what is missing; a booking needs a place and a time."""
        if found := BOOKS.search(text):
            self.memory.set("state", {"to": found["where"]}, ttl=DAY, sliding=True)
            yield f"To {found['where']}. When?"
        elif "to" in state:
            seats = ", ".join(self.memory.get("preferences", [])) or "any seat"
            number = self.memory.increment("bookings")
            self.memory.delete("state")
            yield f"Booking {number}: to {state['to']}, {text.strip('. ').lower()}, {seats}."
        else:
            yield "Where do you want to go?"

    def close(self) -> None:
        self.memory.close()


@contextmanager
def session(name: str) -> Iterator[None]:
    """A session in AgentOps, if there is a key for it."""
    if not os.environ.get("AGENTOPS_API_KEY"):
        yield
        return
    agentops.init(auto_start_session=False, instrument_llm_calls=False)
    botwire_agentops.instrument(repair=True)
    with agentops.start_trace(name):
        yield


def main(user: str, text: str) -> None:
    assistant = Assistant(user, os.environ.get("BOTWIRE_URL", "sqlite:///memory.db"))
    with session(f"assistant of {user}"):
        answer = assistant.hear(text)
    assistant.close()
    sys.stdout.write(f"{answer}\n")  # what is printed, AgentOps would upload


if __name__ == "__main__":
    main(*(sys.argv[1:] or ["ada", "Book me a train to Turin."]))
