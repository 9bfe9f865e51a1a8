"""What operators want of a run, as its owner reads it."""

from __future__ import annotations

from celery_graceful.model.run import events as ev
from celery_graceful.model.run.record import State
from celery_graceful.model.run.verdict import Verdict
from celery_graceful.runs.ticket import Ticket


def look(ticket: Ticket) -> bool:
    """Read what operators want, once; returns whether the run is still owned here.

    Raises:
        StoreError: the store did not answer.
    """
    found = ticket.runtime.store.load(ticket.run).record
    if found is None:  # the next checkpoint writes it back
        return True
    if found.fence != ticket.fence or found.state is not State.RUNNING:
        ticket.refused = "another execution was admitted meanwhile, or the run has ended"
        return False
    ticket.known_as(found)
    return True


def note_adjusted(ticket: Ticket) -> str | None:
    """Note that what operators have adjusted is seen.

    Returns:
        What is adjusted by now, as text; ``None``: the run is owned here no longer.

    Raises:
        StoreError: the store did not answer.
    """
    done = ticket.transition(ev.NoteAdjusted(ticket.fence), 0.0)
    if done.decision.verdict is Verdict.GONE:  # the next checkpoint writes it back
        return ticket.record.adjusted
    if done.decision.verdict is not Verdict.DONE or done.record is None:
        ticket.refused = done.decision.why
        return None
    ticket.known_as(done.record)
    return done.record.adjusted
