"""What the server counts, in Prometheus form. Never labelled by namespace or key: both are private
and their number has no bound.

Requests are counted in plain dicts, which is several times cheaper than counter objects, and turned
into Prometheus' form when somebody asks.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

__all__ = ["Metrics"]

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
WRITES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0)


class _Spread:
    """How many observations fell below each bound, and their sum."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def buckets(self) -> list[tuple[str, float]]:
        names = [*map(str, self.bounds), "+Inf"]
        return list(zip(names, map(float, accumulate(self.counts)), strict=True))


class Metrics(Collector):
    """Counters of one server process; only the event loop and the writer's thread count."""

    def __init__(self) -> None:
        self._requests: dict[tuple[str, int], int] = {}
        self._seconds: dict[str, _Spread] = {}
        self._commits = _Spread(WRITES)
        self.failures = 0
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def count(self, operation: str, status: int, seconds: float) -> None:
        """One answered request."""
        label = (operation, status)
        self._requests[label] = self._requests.get(label, 0) + 1
        spread = self._seconds.get(operation)
        if spread is None:
            spread = self._seconds[operation] = _Spread(SECONDS)
        spread.observe(seconds)

    def commit(self, writes: int) -> None:
        """One transaction that served so many writes."""
        self._commits.observe(writes)

    def collect(self) -> Iterator[Metric]:
        """All figures, as Prometheus' library wants them."""
        requests = CounterMetricFamily(
            "botwire_requests", "Requests answered", labels=["operation", "status"]
        )
        for (operation, status), number in list(self._requests.items()):
            requests.add_metric([operation, str(status)], number)
        yield requests
        seconds = HistogramMetricFamily(
            "botwire_request_seconds", "Time to answer", labels=["operation"]
        )
        for operation, spread in list(self._seconds.items()):
            seconds.add_metric([operation], spread.buckets(), spread.total)
        yield seconds
        commits = HistogramMetricFamily("botwire_commit_writes", "Writes that shared a transaction")
        commits.add_metric([], self._commits.buckets(), self._commits.total)
        yield commits
        failures = CounterMetricFamily("botwire_unexpected_errors", "Requests that ended in a 500")
        failures.add_metric([], self.failures)
        yield failures

    def page(self) -> bytes:
        """The text that Prometheus reads."""
        return generate_latest(self._registry)
