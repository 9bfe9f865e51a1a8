"""Every kind of store does what stores have to do."""

from __future__ import annotations

from tests.integration.stores import contract_aside, contract_reads, contract_writes


class TestSwap(contract_writes.SwapContract):
    pass


class TestLease(contract_writes.LeaseContract):
    pass


class TestList(contract_reads.ListContract):
    pass


class TestLife(contract_reads.LifeContract):
    pass


class TestAside(contract_aside.AsideContract):
    pass
