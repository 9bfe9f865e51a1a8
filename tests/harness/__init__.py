"""What acceptance tests need: real workers, a ledger of what they did, waits with a deadline."""

from __future__ import annotations

from tests.harness.ledger import Entry, Ledger
from tests.harness.producer import producer
from tests.harness.waiting import wait_for
from tests.harness.worker import Worker, WorkerError

__all__ = ["Entry", "Ledger", "Worker", "WorkerError", "producer", "wait_for"]
