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
from celery_graceful.stop.flag_bytes import StopFlag
from celery_graceful.text.counting import counted

#: Seconds between two attempts.
RETRY = 0.5
#: Seconds before the end of the grace period by which a process has given up.
SPARE = 2.0

_checkpoints = LateWrites("graceful-late-checkpoints")
#: By worker: when its stop was first seen here. All its runs wait for the same lease, not one after
#: the other.
_stopped_at: dict[str, float] = {}


def save_later(run: OwnedRun, checkpoint: str) -> None:
    """Save what the run was left with, unless another execution has begun by then."""
    if can_be_late():
        steps = run.execution.steps
        what = f"{run.key} was left after {counted(steps, 'item')}"
        _checkpoints.add(what, partial(_save, run.ticket, run.flag, checkpoint, steps))


def wait_for_all() -> None:
    """Wait until all are saved: the process ends. For a lease at most, and within the grace."""
    _checkpoints.wait()


def _save(ticket: Ticket, flag: StopFlag, checkpoint: str, steps: int) -> None:
    # A record that is gone stays so: the message writes it anew.
    lease = ticket.runtime.settings.lease_ttl
    while True:
        try:
            ticket.runtime.store.checkpoint(
                ticket.run, ticket.fence, checkpoint, steps, due_in=lease
            )
        except StoreUnavailable:
            if flag.raised and time.monotonic() >= _give_up_at(flag, lease):
                raise
            time.sleep(RETRY)
        else:
            return


def _give_up_at(flag: StopFlag, lease: float) -> float:
    patience_ends = _stopped_at.setdefault(flag.worker, time.monotonic()) + lease
    deadline = flag.deadline
    return patience_ends if deadline is None else min(patience_ends, deadline - SPARE)
