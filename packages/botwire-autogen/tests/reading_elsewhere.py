"""A process of its own that reads what the tests stored, and sends it back.

Each line it reads is `KIND NAMESPACE`; each line it writes is the pickle of what it found there.
"""

import asyncio
import base64
import pickle
import sys
from typing import Any

from botwire import Memory


async def memories(namespace: str, url: str) -> Any:
    from botwire_autogen import BotWireMemory

    return [kept.content for kept in await BotWireMemory(namespace, url=url).list()]


async def messages(namespace: str, url: str) -> Any:
    from botwire_autogen import BotWireChatCompletionContext

    context = BotWireChatCompletionContext(namespace, url=url)
    return (await context.save_state())["messages"]


async def events(namespace: str, url: str) -> Any:
    from botwire_autogen.ag2.events import EventCodec

    event = EventCodec().read(Memory(namespace, url=url).get("event"))
    return type(event).__name__, repr(sorted(vars(event).items()))


def main(url: str) -> None:
    kinds = {"memories": memories, "messages": messages, "events": events}
    for line in sys.stdin:
        kind, namespace = line.split()
        found = pickle.dumps(asyncio.run(kinds[kind](namespace, url)))
        sys.stdout.write(base64.b64encode(found).decode() + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
