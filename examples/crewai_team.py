"""A researcher and a writer who share a memory, keep one each, and go on after a restart.

    python examples/crewai_team.py "heat pumps"
    python examples/crewai_team.py "heat pumps"      # again: they know what is done

Memory is in memory.db beside you, or on the server that BOTWIRE_URL names. With OPENAI_API_KEY set
a real model works (MODEL names another one); without it a stand-in that plays a script. The tools
need no embedder and no key.
"""

import json
import os
import sys
from collections.abc import Callable
from typing import Any

# Before crewai is imported: it would call home, and wait ten seconds for that at exit when offline.
os.environ.setdefault("CREWAI_DISABLE_TELEMETRY", "true")
os.environ.setdefault("CREWAI_TRACING_ENABLED", "false")
os.environ.setdefault("BOTWIRE_URL", "sqlite:///memory.db")

from crewai import Agent, Crew, Task
from crewai.llms.base_llm import BaseLLM

from botwire import Memory
from botwire.memory import memory_tools

SHARED = "project-alpha-shared"


def team(topic: str, researcher_llm: Any, writer_llm: Any) -> Crew:
    """Two agents: `remember`, `recall` are the team's, `my_remember`, `my_recall` are their own."""
    researcher = Agent(
        role="Researcher",
        goal="Find out what is known, once, and leave it where the writer finds it",
        backstory="You look into your own notes first, so that no source is read twice.",
        tools=memory_tools(SHARED) + memory_tools("project-alpha-researcher", prefix="my"),
        llm=researcher_llm,
    )
    writer = Agent(
        role="Writer",
        goal="Write from the findings of the team, better each time",
        backstory="You keep your drafts to yourself until they are good.",
        tools=memory_tools(SHARED) + memory_tools("project-alpha-writer", prefix="my"),
        llm=writer_llm,
    )
    research = Task(
        description=f"Find out about {topic}; remember the finding under 'finding:{topic}'.",
        expected_output="One sentence on what was found, or that it was known.",
        agent=researcher,
    )
    write = Task(
        description=f"Recall 'finding:{topic}' and write a paragraph. Keep the draft for yourself.",
        expected_output="The paragraph.",
        agent=writer,
    )
    return Crew(agents=[researcher, writer], tasks=[research, write], tracing=False)


class StandIn(BaseLLM):
    """Plays a script in place of a model: each step is decided from what the tools answered."""

    step: Callable[[list[str]], Any]

    def supports_function_calling(self) -> bool:
        return True

    def call(self, messages: Any, *_: Any, **__: Any) -> Any:
        answers = [message["content"] for message in messages if message["role"] == "tool"]
        step = self.step(answers)
        if isinstance(step, str):
            return step
        name, arguments = step
        function = {"name": name, "arguments": json.dumps(arguments)}
        return [{"id": f"call_{len(answers)}", "type": "function", "function": function}]


def researching(topic: str) -> Callable[[list[str]], Any]:
    def step(answers: list[str]) -> Any:
        known = bool(answers) and not answers[0].startswith("Nothing")
        if not answers:
            return "my_recall", {"key": f"read:{topic}"}
        if known:
            return f"Known already, from {json.loads(answers[0])}."
        return [
            ("remember", {"key": f"finding:{topic}", "value": f"What matters about {topic}."}),
            ("my_remember", {"key": f"read:{topic}", "value": "the handbook"}),
            f"Found out about {topic}, in the handbook.",
        ][len(answers) - 1]

    return step


def writing(topic: str) -> Callable[[list[str]], Any]:
    def step(answers: list[str]) -> Any:
        if len(answers) < 2:
            return [
                ("recall", {"key": f"finding:{topic}"}),
                ("my_recall", {"key": f"draft:{topic}"}),
            ][len(answers)]
        number = 1 if answers[1].startswith("Nothing") else json.loads(answers[1])["number"] + 1
        text = f"Draft {number}: {json.loads(answers[0])}"
        if len(answers) == 2:
            draft = json.dumps({"number": number, "text": text})
            return "my_remember", {"key": f"draft:{topic}", "value": draft}
        return text

    return step


def models(topic: str) -> tuple[Any, Any]:
    if os.environ.get("OPENAI_API_KEY") or os.environ.get("MODEL"):
        name = os.environ.get("MODEL", "gpt-5.4-mini")
        return name, name
    return (
        StandIn(model="stand-in", step=researching(topic)),
        StandIn(model="stand-in", step=writing(topic)),
    )


def main(topic: str) -> None:
    out = team(topic, *models(topic)).kickoff()
    for task in out.tasks_output:
        print(f"{task.agent}: {task.raw}")
    for namespace in (SHARED, "project-alpha-researcher", "project-alpha-writer"):
        print(f"\n{namespace} remembers:")
        for key, value in Memory(namespace).items():
            print(f"  {key} = {json.dumps(value)}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "heat pumps")
