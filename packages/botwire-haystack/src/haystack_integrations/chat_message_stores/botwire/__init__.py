"""Conversations that outlive the process."""

from haystack_integrations.chat_message_stores.botwire.store import BotWireChatMessageStore

__all__ = ["BotWireChatMessageStore"]
