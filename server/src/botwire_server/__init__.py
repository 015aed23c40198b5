"""The BotWire server: the operations of botwire-core over HTTP, on any store.

- `app.py` builds the application, `front.py` is the short way for entries and operations,
  `admin.py` everything else (FastAPI).
- `protocol.py` reads requests from connections; `exchange.py` answers those that are whole.
- `service.py` runs operations: reads in `turn.py` and `gather.py`, writes in `writer.py`.
- `settings.py` holds every option, `serve.py` starts the process.
"""

__version__ = "0.3.0"
__all__ = ["__version__"]
