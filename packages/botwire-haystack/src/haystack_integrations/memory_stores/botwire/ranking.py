"""How well texts answer a query, by their words alone: BM25, no model. Pure functions."""

import math
import re
from collections import Counter
from collections.abc import Sequence

__all__ = ["scores"]

words = re.compile(r"\w+").findall
SATURATION, LENGTH = 1.5, 0.75  # the usual k1 and b; Robertson & Zaragoza, 2009


def scores(query: str, texts: Sequence[str]) -> list[float]:
    """A score for each text; 0 where it has no word of the query.

    >>> scores("green tea", ["I drink tea", "I like coffee"])[1]
    0.0
    """
    counted = [Counter(words(text.casefold())) for text in texts]
    average = sum(count.total() for count in counted) / max(len(counted), 1) or 1.0
    wanted = set(words(query.casefold()))
    weights = {
        word: _weight(sum(word in count for count in counted), len(counted)) for word in wanted
    }
    return [
        sum(_part(count[word], count.total() / average) * weights[word] for word in wanted)
        for count in counted
    ]


def _weight(holding: int, texts: int) -> float:
    """Rare words tell more."""
    return math.log(1 + (texts - holding + 0.5) / (holding + 0.5))


def _part(times: int, length: float) -> float:
    """Each repetition tells less, and less in a long text."""
    return times * (SATURATION + 1) / (times + SATURATION * (1 - LENGTH + LENGTH * length))
