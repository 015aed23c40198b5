"""Timing and printing, shared by the benchmarks. Figures are medians; ratios come from one run."""

import statistics
import sys
import time
from collections.abc import Callable, Sequence

__all__ = ["interleaved", "note", "print_table"]


def interleaved(
    tasks: dict[str, Callable[[], object]],
    *,
    repeat: int,
    rounds: int = 5,
    clock: Callable[[], float] = time.perf_counter,
    pick: Callable[[Sequence[float]], float] = statistics.median,
) -> dict[str, float]:
    """Microseconds a call of each task: the median (or `pick`) of several rounds, taken in turn.

    Taking turns spreads the machine's moods evenly over all of them.
    """
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(rounds):
        for name, task in tasks.items():
            started = clock()
            for _ in range(repeat):
                task()
            seconds[name].append((clock() - started) / repeat)
    return {name: pick(times) * 1e6 for name, times in seconds.items()}


def print_table(title: str, head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows under a head, columns aligned."""
    cells = [[*map(str, row)] for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    print(f"\n{title}")
    for number, row in enumerate(cells):
        first, *rest = row
        line = [first.ljust(widths[0])]
        line += [cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)]
        print("  " + "  ".join(line))
        if number == 0:
            print("  " + "  ".join("-" * width for width in widths))
    sys.stdout.flush()


def note(text: str) -> None:
    """Say what is going on, apart from the figures."""
    print(text, file=sys.stderr, flush=True)
