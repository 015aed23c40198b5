"""A support agent whose memory shows in Langfuse: LangChain's run with what it read and wrote.

    python examples/langfuse_support_agent.py ada "Please answer in Italian."
    python examples/langfuse_support_agent.py ada "Where is my parcel?"

It knows the customer's preferences (forgotten after 90 days without a question), the newest 12
messages of the conversation, and how often the customer asked today. Memory is in memory.db beside
you, or on the server that BOTWIRE_URL names. With LANGFUSE_PUBLIC_KEY, LANGFUSE_SECRET_KEY and
LANGFUSE_BASE_URL set, each question is a trace. Needs: pip install "botwire[langchain,langfuse]"
"""

import os
import re
import sys
from datetime import UTC, datetime
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.chat_models import SimpleChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langfuse import get_client
from langfuse.langchain import CallbackHandler

import botwire_langfuse
from botwire import BotWireChatHistory, Memory
from botwire_langfuse import traced_memory

DAY = 86400
QUESTIONS_A_DAY = 20
LANGUAGE = re.compile(r"answer in (\w+)", re.IGNORECASE)


class SupportAgent:
    """Answers one customer, in this process and in the next.

    Args:
        customer: who asks; any text.
        model: a LangChain chat model.
        url: where to remember.
    """

    def __init__(self, customer: str, model: BaseChatModel, url: str) -> None:
        self.customer = customer
        self.memory = Memory(f"support:{customer}", url=url)
        self.history = BotWireChatHistory(
            customer, namespace="support chats", url=url, max_messages=12, ttl=30 * DAY
        )
        self.chain = RunnableLambda(self.recall) | model | RunnableLambda(self.remember)

    def ask(self, question: str) -> str:
        """Answer a question, and remember it."""
        session = f"{self.customer} {today()}"
        with traced_memory("support question", user_id=self.customer, session_id=session):
            if not self.may_ask():
                return f"You have asked {QUESTIONS_A_DAY} questions today. Please come back later."
            self.note_preferences(question)
            config: RunnableConfig = {"callbacks": [CallbackHandler()], "run_name": "answer"}
            answer: BaseMessage = self.chain.invoke(question, config)
            self.history.add_messages([HumanMessage(question), answer])
            return answer.text

    def may_ask(self) -> bool:
        """Count the question; the counter ends with the day."""
        return self.memory.increment(f"questions:{today()}", ttl=DAY) <= QUESTIONS_A_DAY

    def note_preferences(self, question: str) -> None:
        if found := LANGUAGE.search(question):
            self.memory.set("preferences", {"language": found[1]}, ttl=90 * DAY, sliding=True)

    def recall(self, question: str) -> list[BaseMessage]:
        """The messages that the model is shown: preferences, conversation, question."""
        preferences = self.memory.get("preferences", {})
        told = f"You help a customer. Preferences: {preferences or 'none'}."
        return [SystemMessage(told), *self.history.messages, HumanMessage(question)]

    def remember(self, answer: AIMessage) -> AIMessage:
        self.memory.increment("answers")
        return answer

    def close(self) -> None:
        self.memory.close()


def today() -> str:
    return datetime.now(UTC).date().isoformat()


class OfflineModel(SimpleChatModel):
    """Stands in for a real model, so that this runs without a key: it says what it was told."""

    model: str = "offline"

    @property
    def _llm_type(self) -> str:
        return "offline"

    def _call(self, messages: list[BaseMessage], *args: Any, **options: Any) -> str:
        earlier = sum(isinstance(message, HumanMessage) for message in messages) - 1
        return f"({messages[0].text}) You asked {earlier} times before."


def main(customer: str, question: str) -> None:
    botwire_langfuse.instrument()
    agent = SupportAgent(
        customer, OfflineModel(), os.environ.get("BOTWIRE_URL", "sqlite:///memory.db")
    )
    print(agent.ask(question))
    agent.close()
    get_client().flush()


if __name__ == "__main__":
    main(*(sys.argv[1:] or ["ada", "Where is my parcel?"]))
