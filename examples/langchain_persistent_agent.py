"""An agent that remembers across restarts: its conversation, and facts about the user.

    python examples/langchain_persistent_agent.py "My name is Ada."
    python examples/langchain_persistent_agent.py "What is my name?"

The second command is another process, and still knows. Everything is kept in `memory.db` beside it;
set BOTWIRE_URL to keep it on a server. Needs: pip install "botwire[langchain]" langchain-classic
"""

import os
import re
import sys
import warnings
from typing import Any

from langchain_classic.memory import ConversationBufferMemory
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from botwire import BotWireChatHistory, Memory

URL = os.environ.get("BOTWIRE_URL", "sqlite:///memory.db")


class PersistentAgent:
    """A chat agent whose conversation and facts outlive its process.

    Args:
        session_id: names the conversation and its facts; any text.
        model: a LangChain chat model.
        url: where to remember.
    """

    def __init__(self, session_id: str, model: BaseChatModel, url: str = URL) -> None:
        self.model = model
        self.facts = Memory(f"facts:{session_id}", url=url)
        with warnings.catch_warnings(action="ignore"):  # the class is LangChain's legacy
            self.conversation = ConversationBufferMemory(
                chat_memory=BotWireChatHistory(session_id=session_id, url=url),
                return_messages=True,
            )

    def remember(self, name: str, value: Any) -> None:
        """Keep a fact about the user."""
        self.facts.set(name, value)

    def ask(self, text: str) -> str:
        """Answer, knowing the whole conversation and all facts; both turns are kept."""
        if found := re.search(r"my name is (\w+)", text, re.IGNORECASE):
            self.remember("name", found[1])
        known = ", ".join(f"{name}: {value}" for name, value in self.facts.items())
        history = self.conversation.load_memory_variables({})["history"]
        prompt = [SystemMessage(f"Facts: {known or 'none'}"), *history, HumanMessage(text)]
        answer = self.model.invoke(prompt).text
        self.conversation.save_context({"input": text}, {"output": answer})
        return answer


class OfflineModel(BaseChatModel):
    """Stands in for a real model, so that this runs without a key: it says what it was told."""

    @property
    def _llm_type(self) -> str:
        return "offline"

    def _generate(self, messages: list[Any], *args: Any, **options: Any) -> ChatResult:
        asked = sum(isinstance(message, HumanMessage) for message in messages)
        text = f"({messages[0].text}) This is question {asked} of our conversation."
        return ChatResult(generations=[ChatGeneration(message=AIMessage(text))])


if __name__ == "__main__":
    agent = PersistentAgent("ada", OfflineModel())
    print(agent.ask(" ".join(sys.argv[1:]) or "Hello!"))
