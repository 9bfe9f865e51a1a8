"""The part of ``graceful.runs`` that changes runs: its verbs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from celery_graceful.model.run.verbs import Verb
from celery_graceful.runs import lookup
from celery_graceful.runs.listing.filters import Filter
from celery_graceful.runs.observers import user_at_host
from celery_graceful.runs.operating.bulk import Result, change_each, fitting
from celery_graceful.runs.operating.changes import Asked, Change
from celery_graceful.runs.operating.doing import do
from celery_graceful.runs.operating.rewinding import UNCHANGED
from celery_graceful.runs.plain_run import Run
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

    def retry(
        self,
        id: str,
        *,
        cursor: Any = UNCHANGED,
        carry: Any = UNCHANGED,
        reason: str = "",
        who: str | None = None,
    ) -> Change:
        """Continue a run that failed or was cancelled, at its checkpoint and with its carry.

        Its result shows ``RETRY`` until it ends again. Its link is called if it completes; its
        errback again if it fails again. A chord has counted its end already, and does not count it
        again.

        Args:
            id: of the run.
            cursor: continue behind this cursor instead; ``None``: at the beginning. A paused run
                can be rewound in this way as well.
            carry: with ``cursor``: the carry to continue with; by default the one it has.

        Raises:
            RunRefused: it has not ended, has completed, or its message is not kept.
            CursorError: cursor or carry cannot be kept.
            NotSent: it continues, but the broker did not accept its message; a worker retries.
        """
        if cursor is UNCHANGED:
            if carry is not UNCHANGED:
                raise TypeError("carry is for a retry from a cursor")
            return self.apply(Verb.RETRY, id, reason=reason, who=who)
        given = {"cursor": cursor, **({} if carry is UNCHANGED else {"carry": carry})}
        return self.apply(Verb.REWIND, id, reason=reason, who=who, **given)

    def fork(
        self,
        id: str,
        *,
        cursor: Any = UNCHANGED,
        carry: Any = UNCHANGED,
        reason: str = "",
        who: str | None = None,
    ) -> Change:
        """Start a new run with the same arguments, from this one's checkpoint or from a cursor.

        The new run calls nobody back and belongs to no chain, group or chord; its id is ``sent``.
        This one is left as it is.

        Args:
            id: of the run.
            cursor: begin behind this one; ``None``: at the beginning.
            carry: begin with this one; by default the one of this run.

        Raises:
            RunRefused: it has completed, or its message is not kept.
            CursorError: cursor or carry cannot be kept.
            NotSent: it is started, but the broker did not accept its message; a worker retries.
        """
        given = {"cursor": cursor, "carry": carry}
        given = {name: value for name, value in given.items() if value is not UNCHANGED}
        return self.apply(Verb.FORK, id, reason=reason, who=who, **given)

    def adjust(
        self,
        id: str,
        *,
        checkpoint_interval: float | str | timedelta | None = None,
        batch_size: int | None = None,
        queue: str | None = None,
        priority: int | None = None,
        reason: str = "",
        who: str | None = None,
    ) -> Change:
        """Change what a run works with, while it runs as well; ``None`` leaves a value as it is.

        Args:
            id: of the run.
            checkpoint_interval: seconds between two checkpoints; 0: as the task says.
            batch_size: items in a batch of the source; 0: as the source says.
            queue: where its next messages go. One that waits is sent again.
            priority: of its next messages, 0 to 255.

        Raises:
            RunRefused: it has ended or is ending.
            ValueError: a value cannot be what it is, or none is given.
            NotSent: it is adjusted, but the broker did not accept its message; a worker retries.
        """
        given: dict[str, Any] = {
            "checkpoint_interval": checkpoint_interval,
            "batch_size": batch_size,
            "queue": queue,
            "priority": priority,
        }
        return self.apply(Verb.ADJUST, id, reason=reason, who=who, **given)

    def release(self, id: str, *, reason: str = "", who: str | None = None) -> Change:
        """Take a run from a worker that is stuck: another one continues it at its checkpoint.

        The item that the worker is at, and those since the checkpoint, may run twice.

        Raises:
            RunRefused: no worker owns it.
            NotSent: it is released, but the broker did not accept its message; a worker retries.
        """
        return self.apply(Verb.RELEASE, id, reason=reason, who=who)

    def delete(self, id: str, *, reason: str = "", who: str | None = None) -> Change:
        """Forget a run that has ended, and its quarantined items; a paused one is cancelled first.

        Raises:
            RunRefused: it has not ended.
        """
        return self.apply(Verb.DELETE, id, reason=reason, who=who)

    def replay(
        self, id: str, items: Collection[int] = (), *, reason: str = "", who: str | None = None
    ) -> Change:
        """Try items again that a run has quarantined, as a task of its own; its id is ``sent``.

        The action log is written before the task is sent.

        Args:
            id: of the run.
            items: ordinals of :meth:`~celery_graceful.runs.api.Runs.quarantined`; empty: all.
            reason: why, for the action log.
            who: the operator; by default the user and host of this process.

        Raises:
            RunRefused: nothing is quarantined, or not one of these items; or the run belongs to
                another broker.
            kombu.exceptions.OperationalError: the broker cannot be reached.
            PublishUncertain: it may or may not have the message.
        """
        return self.apply(Verb.REPLAY, id, reason=reason, who=who, items=items)

    # -- any verb -----------------------------------------------------------------------------

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
            verb: of ``celery_graceful.model.run.verbs.VERBS``; ``rewind`` is ``retry`` with a
                cursor.
            id: of the run.
            reason: why, for the action log.
            who: the operator; by default the user and host of this process.
            expected_state: refuse if the run is in another state, as after a form that was open for
                long.
            **arguments: those of the verb's own method.

        Raises:
            ValueError: there is no such verb, or an argument cannot be what it is.
            TypeError: the verb has no such argument.
            RunRefused: the verb does not apply to the run's state.
            NotSent: the change is made, but the broker did not accept its message; a worker
                retries.
        """
        runtime = self._runtime()
        asked = Asked(Verb(verb), who or user_at_host(), reason, expected_state or "", arguments)
        return do(runtime, lookup.find(runtime, id), asked)

    def apply_all(
        self,
        verb: Verb | str,
        *,
        reason: str = "",
        who: str | None = None,
        most: int | None = None,
        arguments: dict[str, Any] | None = None,
        **filters: Any,
    ) -> Iterator[Result]:
        """Do what a verb says to every run that fits, one after the other, as they are asked for.

        Args:
            verb: see :meth:`apply`.
            reason: why, for the action log.
            who: the operator; by default the user and host of this process.
            most: how many runs at most.
            arguments: those of the verb's own method.
            **filters: those of :meth:`~celery_graceful.runs.api.Runs.list`, at least one; with
                ``state``, a run whose state has changed since it was listed is left alone.

        Returns:
            One result for each run. One that cannot be changed stops no other.

        Raises:
            ValueError: there is no such verb, no filter, or a filter is wrong.
            StoreUnavailable: the store does not answer; what came before is changed.
        """
        if not any(value is not None and value != "" for value in filters.values()):
            raise ValueError("apply_all: give at least one filter, such as state='failed'")
        verb, wanted, by = Verb(verb), Filter(**filters), who or user_at_host()

        def change(run: Run) -> Change:
            expected = run.state if wanted.state is not None else None
            return self.apply(
                verb, str(run), reason=reason, who=by, expected_state=expected, **(arguments or {})
            )

        return change_each(fitting(self._runtime(), wanted, most), change)

    def matching(self, *, most: int | None = None, **filters: Any) -> Iterator[Run]:
        """The runs that :meth:`apply_all` would change, as they are asked for."""
        return fitting(self._runtime(), Filter(**filters), most)

    def _runtime(self) -> Runtime:
        return runtime_of(self._app())
