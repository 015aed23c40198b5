"""What every way of reaching memory must keep, whatever the store: the semantics, as tests.

One class a topic; `MemoryContract` is all of them. They need a fixture `memory`: a fresh, empty
`Memory` (or an AsyncMemory behind `Blocking`). A way says by overriding a fixture what it cannot do
(`capabilities`), how time passes (`elapse`) and how limits are set (`limited`); tests are never
overridden.
"""

import time
from collections.abc import Callable

import pytest

from botwire.memory import Memory
from botwire.stores.base import Limits
from botwire.testing.contract.expiry import Expiry
from botwire.testing.contract.handles import Handles
from botwire.testing.contract.keys import Keys, Mapping
from botwire.testing.contract.kit import Capabilities, Elapse
from botwire.testing.contract.many import Many
from botwire.testing.contract.updates import Updates
from botwire.testing.contract.usage import Counting, Limiting
from botwire.testing.contract.values import Values
from botwire.testing.contract.versions import Versions

__all__ = ["MemoryContract"]


class MemoryContract(
    Values, Keys, Mapping, Versions, Expiry, Updates, Many, Counting, Limiting, Handles
):
    """All rules. Subclass it in a test module and give it a `memory`.

    >>> class TestMyStore(MemoryContract):
    ...     @pytest.fixture
    ...     def memory(self, tmp_path):
    ...         return Memory("test", store=MyStore(tmp_path))
    """

    @pytest.fixture
    def capabilities(self) -> Capabilities:
        return Capabilities()

    @pytest.fixture
    def elapse(self) -> Elapse:
        return time.sleep

    @pytest.fixture
    def limited(self) -> Callable[[Limits], Memory]:
        """Makes a fresh memory with these limits."""
        pytest.skip("declared: no limits")
