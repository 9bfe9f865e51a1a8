"""Every kind of store does what stores have to do."""

from __future__ import annotations

import pytest

from celery_graceful.testing.store_contract import StoreContract

from .conftest import Opener


class TestStore(StoreContract):
    """The contract, on each of our own."""

    @pytest.fixture
    def open_store(self, open_here: Opener) -> Opener:
        return open_here
