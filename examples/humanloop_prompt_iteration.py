"""Which prompt remembers what matters? Try each on its own fork of the same memory, and compare.

    python examples/humanloop_prompt_iteration.py

This is what prompts were iterated with in Humanloop, on your machine and without its service. Each
round is remembered, so that the next one says whether the prompts got better. Memory is in
memory.db beside you, or on the server that BOTWIRE_URL names.
Needs: pip install "botwire[humanloop]"
"""

import os
import re
from typing import Any

from botwire import Memory
from botwire_humanloop import Report, iterate

PROMPTS = {
    "names": "You are a waiter. Remember the guest's name.",
    "orders": "You are a waiter. Remember what the guest drinks.",
    "both": "You are a waiter. Remember the guest's name and what the guest drinks.",
}
VISITS = [
    {"said": "Good evening, my name is Ada."},
    {"said": "I drink tea without sugar."},
    {"said": "The usual, please!", "wanted": "tea without sugar"},
    {"said": "Do you know who I am?", "wanted": "Ada"},
]
FACTS = {
    "name": (r"my name is (\w+)", "name"),
    "drink": (r"I drink ([\w ]+)", "drinks"),
}


def answer(prompt: str, inputs: dict[str, Any], memory: Memory) -> str:
    """What the waiter says, who remembers in the memory he is given."""
    said = inputs["said"]
    for fact, (pattern, word) in FACTS.items():
        found = re.search(pattern, said, re.IGNORECASE)
        if found and word in prompt:
            memory.set(fact, found[1], ttl=90 * 86400)
    memory.increment("visits")
    return offline_model(said, dict(memory.items()))


def offline_model(said: str, known: dict[str, Any]) -> str:
    """Stands in for a real model, so that this runs without a key."""
    if "usual" in said:
        return f"{known.get('drink', 'What')} as always?"
    if "who I am" in said:
        return f"{known.get('name', 'A guest')}, of course."
    return f"Welcome, visit {known['visits']}."


def score(inputs: dict[str, Any], output: str, memory: Memory) -> float:
    return float(inputs.get("wanted", "") in output)


def compare(url: str) -> Report:
    """Try all prompts over all visits, from the memory of the house as it is."""
    with Memory("waiter", url=url) as memory:
        memory.set("house", "Chez BotWire")
        report = iterate(PROMPTS, VISITS, answer, memory, score=score)
        rounds = memory.namespaced("waiter rounds")
        before = rounds.tail("rounds", 1)
        rounds.append("rounds", report.as_dict(), max_items=100)
    print(report)
    best = report.best
    assert best is not None
    print(f"\nBest: {best.name} ({best.score:.2f}).", end=" ")
    scores = [variant["score"] for variant in before[0].values()] if before else []
    print(f"Best of the round before: {max(scores):.2f}." if scores else "The first round.")
    return report


if __name__ == "__main__":
    compare(os.environ.get("BOTWIRE_URL", "sqlite:///memory.db"))
