"""Every kind of store does what stores have to do."""

from __future__ import annotations

from tests.integration.stores import contract


class TestSwap(contract.SwapContract):
    pass


class TestLease(contract.LeaseContract):
    pass


class TestList(contract.ListContract):
    pass


class TestLife(contract.LifeContract):
    pass
