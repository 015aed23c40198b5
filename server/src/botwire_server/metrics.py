"""What the server counts, in Prometheus form. Never labelled by namespace or key: both are private
and their number has no bound."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

__all__ = ["Metrics"]

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)


class Metrics:
    """Counters of one server process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "botwire_requests", "Requests", ["operation", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "botwire_request_seconds",
            "Time to answer",
            ["operation"],
            registry=self._registry,
            buckets=SECONDS,
        )
        self.commits = Histogram(
            "botwire_commit_writes",
            "Writes that shared one transaction",
            registry=self._registry,
            buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512),
        )
        self.failures = Counter(
            "botwire_unexpected_errors", "Requests that ended in a 500", registry=self._registry
        )
        self._keys = Gauge("botwire_api_keys", "API keys known", registry=self._registry)
        # Looking a child up by its labels costs more than counting.
        self._counters: dict[tuple[str, int], Counter] = {}
        self._timers: dict[str, Histogram] = {}

    def count(self, operation: str, status: int, seconds: float) -> None:
        """One answered request."""
        counter = self._counters.get((operation, status))
        if counter is None:
            counter = self._requests.labels(operation, str(status))
            self._counters[operation, status] = counter
            self._timers[operation] = self._seconds.labels(operation)
        counter.inc()
        self._timers[operation].observe(seconds)

    def page(self) -> bytes:
        """The text that Prometheus reads."""
        return generate_latest(self._registry)
