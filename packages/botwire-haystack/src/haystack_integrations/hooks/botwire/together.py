"""Which hook stands at which point, and in which order."""

from haystack.hooks import AFTER_RUN, AFTER_TOOL, BEFORE_RUN
from haystack.hooks.protocol import Hook, HookPoint

from haystack_integrations.hooks.botwire.checkpoint import BotWireCheckpointHook
from haystack_integrations.hooks.botwire.history import BotWireHistoryHook

__all__ = ["agent_hooks"]


def agent_hooks(
    *,
    history: BotWireHistoryHook | None = None,
    checkpoint: BotWireCheckpointHook | None = None,
) -> dict[HookPoint, list[Hook]]:
    """The hooks for `Agent(hooks=...)`; add your own to its lists.

    The checkpoint comes first everywhere: what it has brought back is not saved a second time, and
    a run that is killed between the two loses nothing.
    """
    hooks: list[Hook] = [hook for hook in (checkpoint, history) if hook is not None]
    return {point: list(hooks) for point in (BEFORE_RUN, AFTER_TOOL, AFTER_RUN)}
