"""Checkpoints of runs that left their slot while the store was away: saved when it answers.

Until its message is admitted, only that message has the checkpoint. Should the worker that gets it
be killed, a rescuer continues from the store's: so this one goes there as soon as it can.
"""

from __future__ import annotations

import time
from functools import partial

from celery_graceful.errors import StoreUnavailable
from celery_graceful.execution.journal.late_writes import LateWrites, can_be_late
from celery_graceful.execution.owned import OwnedRun
from celery_graceful.runs.ticket import Ticket
from celery_graceful.text.counting import counted

#: Seconds between two attempts.
RETRY = 0.5

_checkpoints = LateWrites("graceful-late-checkpoints")


def save_later(run: OwnedRun, checkpoint: str) -> None:
    """Save what the run was left with, unless another execution has begun by then.

    A process that ends does not wait for this.
    """
    if can_be_late():
        steps = run.execution.steps
        what = f"{run.key} was left after {counted(steps, 'item')}"
        _checkpoints.add(what, partial(_save, run.ticket, checkpoint, steps))


def wait_for_all() -> None:
    """Wait until all are saved."""
    _checkpoints.wait()


def _save(ticket: Ticket, checkpoint: str, steps: int) -> None:
    # A record that is gone stays so: the message writes it anew.
    lease = ticket.runtime.settings.lease_ttl
    while True:
        try:
            ticket.runtime.store.checkpoint(
                ticket.run, ticket.fence, checkpoint, steps, due_in=lease
            )
        except StoreUnavailable:
            time.sleep(RETRY)
        else:
            return
