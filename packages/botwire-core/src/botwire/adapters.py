"""Names of adapters that may be imported from `botwire` when the adapter is installed."""

from importlib import import_module
from typing import Any

__all__ = ["load"]


def load(module: str, name: str, *, extra: str) -> Any:
    """`name` from an adapter, or an ImportError that says what to install."""
    try:
        return getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        raise ImportError(
            f"{name} comes with an adapter that is not installed: pip install 'botwire[{extra}]'"
        ) from error
