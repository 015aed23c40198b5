"""What all BotWire classes for Haystack share: the way to a memory, and objects as JSON."""

from haystack_integrations.common.botwire.backed import API_KEY, Backed, Flow
from haystack_integrations.common.botwire.codec import (
    MESSAGE_ID,
    as_json,
    identified,
    message_id,
    message_json,
    message_of,
    pack,
    segment,
    unpack,
    unsegment,
)
from haystack_integrations.common.botwire.owner import Owner

__all__ = [
    "API_KEY",
    "MESSAGE_ID",
    "Backed",
    "Flow",
    "Owner",
    "as_json",
    "identified",
    "message_id",
    "message_json",
    "message_of",
    "pack",
    "segment",
    "unpack",
    "unsegment",
]
