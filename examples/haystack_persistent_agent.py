"""An agent that knows its user again after a restart, as a Haystack pipeline.

    python examples/haystack_persistent_agent.py ada "I am Ada and I drink tea."
    python examples/haystack_persistent_agent.py ada "What do I drink?"

Memory is in memory.db beside you, or on the server that BOTWIRE_URL names. With OPENAI_API_KEY set
a real model answers; without it a stand-in that repeats what it was shown.
"""

import os
import sys
from typing import Any

from haystack import Pipeline
from haystack.components.builders import PromptBuilder
from haystack.components.generators.chat import MockChatGenerator, OpenAIChatGenerator

from haystack_integrations.components.retrievers.botwire import BotWireKeyValueReader
from haystack_integrations.components.writers.botwire import BotWireKeyValueWriter

CONTEXT_CHARS = 2000
WEEK = 7 * 86400

PROMPT = """\
{% for name, value in preferences.items() %}The user's {{ name }}: {{ value }}
{% endfor %}{{ context }}User: {{ query }}
Agent:"""
TURN = "User: {{ query }}\nAgent: {{ replies[0].text }}\n\n"  # Jinja drops the last line break


class PersistentAgent:
    """One user's agent: the newest 2,000 characters of the conversation, and preferences.

    Preferences are forgotten after 7 days in which nobody talked; the conversation stays.
    """

    def __init__(self, user_id: str, *, url: str | None = None, llm: Any = None) -> None:
        place: dict[str, Any] = {"namespace": "assistant", "url": url}
        self.prefix = f"user:{user_id}:"
        self.preferences = BotWireKeyValueWriter(
            **place, keys=["preferences"], ttl=WEEK, sliding=True
        )
        self.pipeline = Pipeline()
        load = BotWireKeyValueReader(**place, keys={"context": "", "preferences": {}})
        save = BotWireKeyValueWriter(
            **place, keys=["context"], append=True, max_chars=CONTEXT_CHARS
        )
        self.pipeline.add_component("load", load)
        self.pipeline.add_component("prompt", PromptBuilder(PROMPT))
        self.pipeline.add_component("llm", llm or OpenAIChatGenerator())
        self.pipeline.add_component("turn", PromptBuilder(TURN))
        self.pipeline.add_component("save", save)
        self.pipeline.connect("load.context", "prompt.context")
        self.pipeline.connect("load.preferences", "prompt.preferences")
        self.pipeline.connect("prompt.prompt", "llm.messages")
        self.pipeline.connect("llm.replies", "turn.replies")
        self.pipeline.connect("turn.prompt", "save.context")

    def chat(self, query: str) -> str:
        """Answer with what was said before in mind, and remember this turn."""
        data = {"query": query, "prefix": self.prefix}
        out = self.pipeline.run(data, include_outputs_from={"llm"})
        return out["llm"]["replies"][0].text

    def prefer(self, **preferences: str) -> None:
        """Remember how the user wants to be answered, in place of earlier preferences."""
        self.preferences.run(prefix=self.prefix, preferences=preferences)

    def close(self) -> None:
        self.pipeline.close()
        self.preferences.close()


def main(user_id: str, query: str) -> None:
    url = os.environ.get("BOTWIRE_URL", "sqlite:///memory.db")
    llm = None if os.environ.get("OPENAI_API_KEY") else MockChatGenerator()
    agent = PersistentAgent(user_id, url=url, llm=llm)
    print(agent.chat(query))
    agent.close()


if __name__ == "__main__":
    main(*(sys.argv[1:] or ["ada", "Hello, who am I?"]))
