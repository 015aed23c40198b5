"""What a round of variants came to: answers, scores and what each variant remembered."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Answer", "Changes", "Report", "Variant"]

WIDTH = 32  # characters of an answer or value that a table shows


@dataclass(frozen=True, slots=True)
class Answer:
    """What a variant made of one data point: an output or an error, and a score if one was asked
    for."""

    output: Any = None
    error: Exception | None = None
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Changes:
    """What a variant's memory holds otherwise than the memory it started from.

    Attributes:
        changed: key -> (value before, value after).
    """

    added: dict[str, Any]
    changed: dict[str, tuple[Any, Any]]
    removed: dict[str, Any]

    @classmethod
    def between(cls, before: Mapping[str, Any], after: Mapping[str, Any]) -> "Changes":
        """Compare two memories.

        >>> Changes.between({"a": 1, "b": 2}, {"b": 3, "c": 4})
        Changes(added={'c': 4}, changed={'b': (2, 3)}, removed={'a': 1})
        """
        both = [key for key in before if key in after]
        return cls(
            {key: value for key, value in after.items() if key not in before},
            {key: (before[key], after[key]) for key in both if before[key] != after[key]},
            {key: value for key, value in before.items() if key not in after},
        )


@dataclass(slots=True)
class Variant:
    """One variant of the prompt: its answers in order of the data, and what it remembered."""

    name: str
    answers: list[Answer] = field(default_factory=list[Answer])
    remembered: Changes = field(default_factory=lambda: Changes({}, {}, {}))
    seconds: float = 0.0

    @property
    def errors(self) -> list[Exception]:
        return [answer.error for answer in self.answers if answer.error is not None]

    @property
    def score(self) -> float | None:
        """The mean score; a data point that failed counts as 0. None if nothing was scored."""
        if all(answer.score is None for answer in self.answers):
            return None
        return sum(answer.score or 0.0 for answer in self.answers) / len(self.answers)


@dataclass(slots=True)
class Report:
    """All variants, over the same data and from the same memory. `str(report)` is three tables."""

    dataset: list[dict[str, Any]]
    variants: dict[str, Variant]

    @property
    def best(self) -> Variant | None:
        """The variant with the highest score, the first of them if several share it."""
        scored = [variant for variant in self.variants.values() if variant.score is not None]
        return max(scored, key=lambda variant: variant.score or 0.0, default=None)

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON values, for keeping it in a memory."""
        return {
            name: {
                "score": variant.score,
                "answers": [_plain(answer) for answer in variant.answers],
                "added": variant.remembered.added,
                "changed": {key: list(pair) for key, pair in variant.remembered.changed.items()},
                "removed": variant.remembered.removed,
                "seconds": variant.seconds,
            }
            for name, variant in self.variants.items()
        }

    def __str__(self) -> str:
        return "\n\n".join([self._summary(), self._answers(), self._remembered()])

    def _summary(self) -> str:
        rows = [("variant", "answers", "errors", "score", "added", "changed", "removed", "seconds")]
        for variant in self.variants.values():
            remembered = variant.remembered
            rows.append(
                (
                    variant.name,
                    str(len(variant.answers) - len(variant.errors)),
                    str(len(variant.errors)),
                    "-" if variant.score is None else f"{variant.score:.2f}",
                    str(len(remembered.added)),
                    str(len(remembered.changed)),
                    str(len(remembered.removed)),
                    f"{variant.seconds:.2f}",
                )
            )
        return _table(rows)

    def _answers(self) -> str:
        rows = [("data point", *self.variants)]
        for number, inputs in enumerate(self.dataset):
            answers = (variant.answers[number] for variant in self.variants.values())
            rows.append((_cell(next(iter(inputs.values()), "")), *map(_shown, answers)))
        return _table(rows)

    def _remembered(self) -> str:
        """Each key that any variant changed, with what every variant holds there."""
        after = {name: _after(variant.remembered) for name, variant in self.variants.items()}
        keys = sorted({key for values in after.values() for key in values})
        rows = [("remembered", *self.variants)]
        rows += [(key, *(_cell(values.get(key, "=")) for values in after.values())) for key in keys]
        return _table(rows)


def _plain(answer: Answer) -> dict[str, Any]:
    if answer.error is not None:
        return {"error": f"{type(answer.error).__name__}: {answer.error}"}
    return {"output": answer.output, "score": answer.score}


def _after(changes: Changes) -> dict[str, Any]:
    after = dict(changes.added)
    after |= {key: value for key, (_, value) in changes.changed.items()}
    return after | dict.fromkeys(changes.removed, "(removed)")


def _shown(answer: Answer) -> str:
    if answer.error is not None:
        return _cell(f"! {type(answer.error).__name__}: {answer.error}")
    return _cell(answer.output)


def _cell(value: Any) -> str:
    text = " ".join((value if isinstance(value, str) else repr(value)).split())
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 3]}..."


def _table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]

    def line(cells: Iterable[str]) -> str:
        padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        return " | ".join(padded).rstrip()

    head, *body = map(line, rows)
    return "\n".join([head, "-+-".join("-" * width for width in widths), *body])
