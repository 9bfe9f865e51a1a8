"""What a store has to do, as tests: for stores of one's own. Needs pytest.

Derive a test class from :class:`StoreContract` and override its fixture ``open_store``.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from celery_graceful.stores.base import Store
from celery_graceful.testing.store_contract.browsing import TabContract
from celery_graceful.testing.store_contract.named_texts import TextContract
from celery_graceful.testing.store_contract.quarantine import QuarantineContract
from celery_graceful.testing.store_contract.reads import LifeContract, ListContract
from celery_graceful.testing.store_contract.writes import LeaseContract, SwapContract

__all__ = ["StoreContract"]


class StoreContract(
    SwapContract,
    LeaseContract,
    ListContract,
    TabContract,
    LifeContract,
    QuarantineContract,
    TextContract,
):
    """Tests that every store has to pass. They take about a second each at most."""

    @pytest.fixture
    def open_store(self) -> Callable[[str], Store]:
        """Override it: a function that opens a store in the namespace it is given.

        All the stores that it opens during one test share one place, which is empty when the test
        begins: two of the same namespace have the same records. Close them when the test ends.
        """
        raise NotImplementedError(
            f"{type(self).__name__} has to define the fixture open_store: a function from a "
            "namespace to a store at a place that is empty when the test begins"
        )

    @pytest.fixture
    def store(self, open_store: Callable[[str], Store]) -> Store:
        """An empty store."""
        return open_store("test")
