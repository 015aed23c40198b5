"""AG2 Classic (`import autogen`): one helper that makes an agent's chat outlive its process.

- Two hooks store what is new: before the agent replies, and before it sends. What was received is
  stored before a model or tool sees it, what is sent before anybody acts on it.
- A tool call that broke off gets a response that says so when the chat is restored.
"""

from collections.abc import Callable
from typing import Any, cast

try:
    from autogen import ConversableAgent
    from autogen.agentchat.conversable_agent import normilize_message_to_oai
except ModuleNotFoundError as error:
    if error.name != "autogen":
        raise
    raise ImportError(
        "AG2 Classic is not installed: pip install 'botwire-autogen[classic]'"
    ) from error

from botwire import Memory
from botwire.jsontext import encode
from botwire.operations import Append, Batch, Head, Operation, Set
from botwire_autogen.codec import pack, unpack

__all__ = ["persistent_chat"]

INTERRUPTED = (
    "No result: the process ended before this call answered. It may or may not have taken effect."
)
Message = dict[str, Any]


def persistent_chat(
    agent: ConversableAgent,
    partner: ConversableAgent,
    memory: Memory | str,
    key: str = "chat",
    *,
    ttl: float | None = None,
) -> int:
    """Restore an agent's chat with a partner and its context variables, and store them from now on.

    Start the chat with `clear_history=False`, or autogen forgets what was restored.

    Args:
        partner: whom the agent talks to, such as a user proxy or a group chat manager.
        memory: a namespace, or the memory to use.
        key: names the chat within the namespace.
        ttl: seconds after its last message the chat is forgotten; without it never.

    Returns:
        How many messages were restored.

    Raises (while chatting):
        Conflict: another process went on with this chat.
        InvalidValue: a message or variable holds something that is not data.

    >>> from autogen import ConversableAgent
    >>> assistant = ConversableAgent("assistant", human_input_mode="NEVER")
    >>> user = ConversableAgent("user", human_input_mode="NEVER")
    >>> persistent_chat(assistant, user, Memory("ada", url="memory://"))
    0
    """
    space = Memory(memory) if isinstance(memory, str) else memory
    chat = _Chat(agent, partner, space, key, ttl)
    register_hook = cast("Callable[[str, Callable[..., Any]], None]", agent.register_hook)
    register_hook("update_agent_state", chat.before_reply)
    register_hook("process_message_before_send", chat.before_send)
    return chat.restore()


class _Chat:
    """What of one chat is stored: these messages, at this version, and these variables."""

    def __init__(
        self,
        agent: ConversableAgent,
        partner: ConversableAgent,
        memory: Memory,
        key: str,
        ttl: float | None,
    ) -> None:
        self._agent = agent
        self._partner = partner
        self._memory = memory
        self._messages_key, self._variables_key = f"{key}/messages", f"{key}/variables"
        self._ttl = ttl
        self._stored: list[Message] = []
        self._version = 0
        self._variables: Any = {}

    def restore(self) -> int:
        entry = self._memory.entry(self._messages_key)
        self._variables = self._memory.get(self._variables_key, {})
        self._agent.context_variables.update(unpack(self._variables))
        self._stored = _mended(unpack(entry.value) if entry else [])
        self._version = entry.version if entry else 0
        self._agent.chat_messages[self._partner][:] = self._stored
        return len(self._stored)

    def before_reply(self, agent: ConversableAgent, messages: list[Message]) -> None:
        """Store what was received (the hook "update_agent_state")."""
        self._save(self._agent.chat_messages[self._partner])

    def before_send(
        self, sender: ConversableAgent, message: Message | str, recipient: Any, silent: bool
    ) -> Message | str:
        """Store what is about to be sent (the hook "process_message_before_send")."""
        if recipient is self._partner:
            valid, sent = normilize_message_to_oai(message, sender.name)
            self._save([*self._agent.chat_messages[self._partner], *([sent] if valid else [])])
        return message

    def _save(self, messages: list[Message]) -> None:
        variables = pack(self._agent.context_variables.to_dict())
        operations = [*self._of_messages(messages), *self._of_variables(variables)]
        if operations:
            space, key = self._memory.namespace, self._messages_key
            *_, head = self._memory.run(Batch(space, (*operations, Head(space, key))))
            self._version = head.version if head else 0
        self._stored, self._variables = list(messages), variables

    def _of_messages(self, messages: list[Message]) -> list[Operation]:
        space, known, ttl = self._memory.namespace, len(self._stored), self._ttl
        if messages[:known] != self._stored:  # the chat was cleared or cut
            text = encode(pack(messages))
            return [Set(space, self._messages_key, text, ttl, if_version=self._version)]
        new = tuple(encode(pack(message)) for message in messages[known:])
        append = Append(space, self._messages_key, new, ttl=ttl, if_version=self._version)
        return [append] if new else []

    def _of_variables(self, variables: Any) -> list[Operation]:
        if variables == self._variables and self._ttl is None:
            return []
        text = encode(variables)
        return [Set(self._memory.namespace, self._variables_key, text, self._ttl)]


def _mended(messages: list[Message]) -> list[Message]:
    """The messages with a response for each tool call that broke off."""
    whole: list[Message] = []
    for message, following in zip(messages, [*messages[1:], {}], strict=False):
        whole.append(message)
        calls = message.get("tool_calls")
        if calls and not following.get("tool_responses"):
            responses = [
                {"tool_call_id": call["id"], "role": "tool", "content": INTERRUPTED}
                for call in calls
            ]
            whole.append({"role": "tool", "content": INTERRUPTED, "tool_responses": responses})
    return whole
