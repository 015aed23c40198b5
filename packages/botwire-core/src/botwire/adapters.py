"""Names that are imported when they are first used: frameworks are large, and may be missing."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

__all__ = ["lazy", "load"]


def lazy(
    package: str, rooms: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` (PEP 562) of a package whose names live in its modules.

    Args:
        package: the `__name__` of the package.
        rooms: for each name, the module of the package that holds it.

    Example:
        __getattr__, __dir__ = lazy(__name__, {"BotWireStorage": "storage"})
    """

    def load_name(name: str) -> Any:
        room = rooms.get(name)
        if room is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{room}"), name)

    def list_names() -> list[str]:
        return sorted({*vars(import_module(package)), *rooms})

    return load_name, list_names


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
