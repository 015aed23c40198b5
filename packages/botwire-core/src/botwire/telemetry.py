"""One event for each operation, for whoever listens; nothing at all when nobody does."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from botwire.operations import Operation
    from botwire.runners import Connection

__all__ = ["listening", "observe", "observe_async"]

listening = False


def observe(operation: "Operation", connection: "Connection") -> Any:
    return operation.result(connection.run(operation))


async def observe_async(operation: "Operation", connection: "Connection") -> Any:
    return operation.result(await connection.run_async(operation))
