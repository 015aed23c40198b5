"""Hooks that make an Agent's conversation and its progress outlive the process."""

from haystack_integrations.hooks.botwire.checkpoint import BotWireCheckpointHook
from haystack_integrations.hooks.botwire.history import BotWireHistoryHook
from haystack_integrations.hooks.botwire.together import agent_hooks

__all__ = ["BotWireCheckpointHook", "BotWireHistoryHook", "agent_hooks"]
