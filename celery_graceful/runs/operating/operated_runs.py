"""The part of ``graceful.runs`` that changes runs: its verbs."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from celery_graceful.errors import RunRefused
from celery_graceful.model.run.verbs import PLANNED, Verb
from celery_graceful.runs import lookup
from celery_graceful.runs.observers import user_at_host
from celery_graceful.runs.operating import changes, replays
from celery_graceful.runs.operating.changes import Asked, Change
from celery_graceful.runs.operating.replays import Replay
from celery_graceful.runtime import runtime_of

if TYPE_CHECKING:
    from celery import Celery

    from celery_graceful.runtime import Runtime


class OperatedRuns:
    """What operators do to the runs of an app.

    Each method takes the reason, for the run's action log, and the operator: by default the user
    and host of this process. Each may raise :exc:`~celery_graceful.errors.RunRefused`, with the
    reason why it does not apply to the run's state.
    """

    def __init__(self, app: Callable[[], Celery]) -> None:
        self._app = app

    def pause(self, id: str, *, reason: str = "", who: str | None = None) -> Change:
        """Stop a run until it is resumed: a running one at its next checkpoint.

        Args:
            id: of the run.
            reason: why, for the action log.
            who: the operator; by default the user and host of this process.

        Raises:
            RunRefused: it has ended, is ending, or is paused.
        """
        return self.apply(Verb.PAUSE, id, reason=reason, who=who)

    def resume(self, id: str, *, reason: str = "", who: str | None = None) -> Change:
        """Put a paused run back in its queue, or withdraw a pause that its worker has not seen yet.

        Raises:
            RunRefused: it is not paused, or belongs to another broker.
            NotSent: it is resumed, but the broker did not accept its message; a worker retries.
        """
        return self.apply(Verb.RESUME, id, reason=reason, who=who)

    def cancel(self, id: str, *, reason: str = "", who: str | None = None) -> Change:
        """End a run, as ``REVOKED``: a running one at its next checkpoint.

        Raises:
            RunRefused: it has ended or is ending.
        """
        return self.apply(Verb.CANCEL, id, reason=reason, who=who)

    def resend(self, id: str, *, reason: str = "", who: str | None = None) -> Change:
        """Send the message of a waiting run again, as after a purge of its queue.

        If its message was not gone after all, the second one is dropped.

        Raises:
            RunRefused: no message of it is under way, or it belongs to another broker.
            NotSent: the broker did not accept the message; a worker retries.
        """
        return self.apply(Verb.RESEND, id, reason=reason, who=who)

    def replay(
        self, id: str, items: Collection[int] = (), *, reason: str = "", who: str | None = None
    ) -> Replay:
        """Try items again that a run has quarantined, as a task of its own.

        Args:
            id: of the run.
            items: ordinals of :meth:`~celery_graceful.runs.api.Runs.quarantined`; empty: all.
            reason: why, for the action log.
            who: the operator; by default the user and host of this process.

        Raises:
            RunRefused: nothing is quarantined, or not one of these items.
            kombu.exceptions.OperationalError: the broker cannot be reached.
            PublishUncertain: it may or may not have the message.
        """
        runtime = self._runtime()
        return replays.replay(runtime, lookup.find(runtime, id), items)

    def apply(
        self,
        verb: Verb | str,
        id: str,
        *,
        reason: str = "",
        who: str | None = None,
        expected_state: str | None = None,
        **arguments: Any,
    ) -> Change:
        """Do what a verb says to a run, whichever verb it is.

        Args:
            verb: of :data:`~celery_graceful.model.run.verbs.VERBS`.
            id: of the run.
            reason: why, for the action log.
            who: the operator; by default the user and host of this process.
            expected_state: refuse if the run is in another state, as after a form that was open for
                long.
            **arguments: those of the verb's own method.

        Raises:
            ValueError: there is no such verb.
            RunRefused: the verb does not apply to the run's state.
            NotSent: the change is made, but the broker did not accept its message; a worker
                retries.
        """
        verb, runtime = Verb(verb), self._runtime()
        found = lookup.find(runtime, id)
        asked = Asked(verb, who or user_at_host(), reason, expected_state or "")
        if verb in PLANNED:
            raise RunRefused(f"{verb} is not offered yet.")
        if verb is Verb.REPLAY:
            return replays.as_change(runtime, found, **arguments)
        if arguments:
            raise TypeError(f"{verb} has no argument {min(arguments)!r}")
        return changes.apply(runtime, found, asked)

    def _runtime(self) -> Runtime:
        return runtime_of(self._app())
