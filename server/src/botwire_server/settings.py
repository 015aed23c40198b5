"""Every option of the server: its name, its default, and the environment variable that sets it.

An option stands on the command line as `--name` and in the environment as `BOTWIRE_SERVE_NAME`.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from botwire.errors import InvalidRequest
from botwire.stores.base import Limits

__all__ = ["FREE_TIER", "Settings"]

LOOPBACK = ("127.0.0.1", "localhost", "::1")
FREE_TIER = {"writes_per_day": 1_000, "namespace_bytes": 50_000_000}


@dataclass(frozen=True, slots=True)
class Settings:
    """What the server was told.

    Attributes:
        url: the store: `sqlite:///botwire.db`, `memory://` or `postgresql://...`.
        host, port: where it listens; port 0 takes a free one.
        free_tier: 1,000 writes a day and 50 MB for each namespace.
        writes_per_day, namespace_bytes: quotas of one's own; 0: none.
        value_bytes: the largest value; request_bytes: the largest request.
        api_keys: file of API keys; every call then needs one.
        open: listen beyond this machine without API keys.
        require_conditions: a write by path to an existing entry needs If-Match (428 otherwise).
        access_log: one line for each request, without namespaces, keys or values.
        shutdown_seconds: how long requests may take to end after SIGTERM.
        trust_trace: take the sampling decision of callers' traceparent headers.
    """

    url: str = "sqlite:///botwire.db"
    host: str = "127.0.0.1"
    port: int = 8000
    free_tier: bool = False
    writes_per_day: int = 0
    namespace_bytes: int = 0
    value_bytes: int = 10_000_000
    request_bytes: int = 32_000_000
    api_keys: Path | None = None
    open: bool = False
    require_conditions: bool = False
    access_log: bool = False
    shutdown_seconds: int = 30
    trust_trace: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise InvalidRequest(
                f"there is no port {self.port}", hint="Choose one up to 65535; 0 takes a free one."
            )
        if self.api_keys is None and not self.open and self.host not in LOOPBACK:
            raise InvalidRequest(
                f"without API keys the server listens on this machine only, not on {self.host!r}",
                hint="Make keys (botwire keys create --api-keys keys.json) and start with"
                " --api-keys keys.json, or say --open to let everybody read and write.",
            )

    @property
    def limits(self) -> Limits:
        """What a namespace may use."""
        free: Mapping[str, int] = FREE_TIER if self.free_tier else {}
        return Limits(
            self.value_bytes,
            self.writes_per_day or free.get("writes_per_day"),
            self.namespace_bytes or free.get("namespace_bytes"),
        )

    @classmethod
    def from_environment(cls, **given: Any) -> "Settings":
        """Settings from BOTWIRE_SERVE_* variables; what is given (and not None) goes first."""
        values = {name: value for name, value in given.items() if value is not None}
        for field in fields(cls):
            text = os.environ.get(f"BOTWIRE_SERVE_{field.name.upper()}")
            if text is not None and field.name not in values:
                values[field.name] = _read(field.name, text, field.default)
        return cls(**values)


def _read(name: str, text: str, default: object) -> Any:
    try:
        if isinstance(default, bool):
            return {"1": True, "true": True, "0": False, "false": False, "": False}[text.lower()]
        if isinstance(default, int):
            return int(text)
    except (KeyError, ValueError):
        kind = "1 or 0" if isinstance(default, bool) else "a whole number"
        raise InvalidRequest(f"BOTWIRE_SERVE_{name.upper()} must be {kind}, not {text!r}") from None
    return Path(text) if name == "api_keys" else text
