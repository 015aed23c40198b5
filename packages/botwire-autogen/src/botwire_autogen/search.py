"""Which memories fit: by metadata, and by words without a model."""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["fits", "rank", "words"]

# A run of letters and digits is a word; scripts written without spaces count by the character.
_word = re.compile(
    r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W_\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+"
)


def words(text: str) -> set[str]:
    """The different words of a text, whatever their case.

    >>> sorted(words("Tea, please: TEA!"))
    ['please', 'tea']
    """
    return set(_word.findall(text.casefold()))


def rank(texts: Sequence[str], query: str) -> list[int]:
    """Positions of the texts that share a word with the query, best first, then newest first.

    A rare word counts more than one that stands in most of the texts.

    >>> rank(["the cat sleeps", "the dog barks", "the dog and the cat play"], "a cat and the dog")
    [2, 1, 0]
    """
    wanted = words(query)
    shared = [wanted & words(text) for text in texts]
    spread = Counter(word for found in shared for word in found)
    weight = {word: math.log(1 + len(texts) / count) for word, count in spread.items()}
    scores = [sum(weight[word] for word in found) for found in shared]
    order = sorted(range(len(texts)), key=lambda place: (scores[place], place), reverse=True)
    return [place for place in order if scores[place] > 0]


def fits(metadata: Mapping[str, Any] | None, where: Mapping[str, Any] | None) -> bool:
    """Whether the metadata holds every one of these members with an equal value.

    >>> fits({"topic": "food", "year": 2026}, {"topic": "food"})
    True
    """
    if not where:
        return True
    held = metadata or {}
    return all(name in held and held[name] == value for name, value in where.items())
