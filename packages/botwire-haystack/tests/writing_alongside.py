"""One of several processes that write into one conversation: python writing_alongside.py URL NAME N

Half of the writes name messages by an id of their own and are repeated, as a retry would be.
"""

import os
import sys

os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"

from haystack.dataclasses import ChatMessage

from haystack_integrations.chat_message_stores.botwire import BotWireChatMessageStore


def main(url: str, name: str, count: int) -> None:
    store = BotWireChatMessageStore("test", url=url)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    for number in range(count):
        text = f"{name} {number}"
        if number % 2:
            store.write_messages("shared", [ChatMessage.from_user(text)])
            continue
        message = ChatMessage.from_user(text, meta={"chat_message_id": text})
        assert store.write_messages("shared", [message]) == 1
        assert store.write_messages("shared", [message]) == 0
    store.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
