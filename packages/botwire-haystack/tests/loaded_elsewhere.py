"""Loads a pipeline from a file with nothing but Haystack's defaults, and runs it.

    python loaded_elsewhere.py FILE DATA      # DATA is JSON; {"user": "text"} stands for a message

It prints the outputs as JSON, with messages as their texts.
"""

import json
import sys
from pathlib import Path
from typing import Any

from haystack import Pipeline
from haystack.dataclasses import ChatMessage


def given(value: Any) -> Any:
    if isinstance(value, list):
        return [given(part) for part in value]
    if isinstance(value, dict):
        if value.keys() == {"user"}:
            return ChatMessage.from_user(value["user"])
        return {name: given(part) for name, part in value.items()}
    return value


def shown(value: Any) -> Any:
    if isinstance(value, ChatMessage):
        return value.text or [result.result for result in value.tool_call_results]
    if isinstance(value, list):
        return [shown(part) for part in value]
    if isinstance(value, dict):
        return {name: shown(part) for name, part in value.items()}
    return value


if __name__ == "__main__":
    pipeline = Pipeline.loads(Path(sys.argv[1]).read_text())
    out = pipeline.run(given(json.loads(sys.argv[2])), include_outputs_from=set(pipeline.graph))
    pipeline.close()
    sys.stdout.write(json.dumps(shown(out)))
