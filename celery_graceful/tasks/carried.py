"""A leg in a worker: it saves checkpoints, sees stops, and hands its run over."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from celery.exceptions import Ignore, Reject
from kombu.exceptions import OperationalError

from celery_graceful import signals
from celery_graceful._celery.children import TERM_SIGNAL
from celery_graceful.errors import CursorError, PublishUncertain, StoreError, StoreUnavailable
from celery_graceful.model.cursor import Checkpoint, encode
from celery_graceful.model.decide import Verdict
from celery_graceful.model.reasons import StopReason
from celery_graceful.model.record import Outcome, Request
from celery_graceful.runs.ticket import Ticket
from celery_graceful.stop.flag import StopFlag
from celery_graceful.tasks import limits, results, ticker
from celery_graceful.tasks.leg import Interrupted, Leg
from celery_graceful.tasks.progress import ProgressReport

if TYPE_CHECKING:
    from celery_graceful.tasks.iterable import IterableTask

__all__ = ["CarriedLeg"]

logger = logging.getLogger("celery_graceful.runs")

#: Seconds between two attempts to save a checkpoint while the store is away.
STORE_RETRY = 0.5
#: Legs in a row that may process items and end where they began.
MAX_STALLS = 2
#: A pool child that is told to die may take this long to finish its item, in seconds.
LAST_ITEM = 1.0


class CarriedLeg(Leg):
    """A leg whose run is kept in the store."""

    def __init__(
        self,
        task: IterableTask,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        checkpoint: Checkpoint,
        ticket: Ticket,
        flag: StopFlag,
    ) -> None:
        super().__init__(task, args, kwargs, checkpoint)
        self.ticket = ticket
        self.flag = flag
        self.request = task.request
        self.resumptions = ticket.record.resumptions
        self.resumed = self.resumptions > 0
        self.started_at = ticket.record.started_at
        self.options = limits.leg_options(task, ticket.runtime.settings, self.request)
        self.began_at = (checkpoint.steps, ticket.record.checkpoint)
        self.report = ProgressReport(task, self.request, ticket.runtime.settings.progress)
        #: The options of a retry that was asked for inside the loop.
        self.retry_options: dict[str, Any] | None = None
        self.send_retry: Callable[..., Any] | None = None
        self.open = True
        #: Whether the leg has let go of its run already, by handing over or giving way.
        self.left = False
        self._checked = False
        self._warned_still = False
        self._outage_since: float | None = None
        self._told_to_die_at: float | None = None
        self._ended_by_force = False
        now = time.monotonic()
        self._lease_until = now + ticket.runtime.settings.lease_ttl
        self._flush_due = now + self.options.flush_interval
        self._leave_at = now + self.options.max_leg_runtime if self.options.max_leg_runtime else 0.0
        # After a crash each item is saved, until the leg has lived longer than its predecessor's
        # unsaved items can have taken: else an item that kills would never be told from progress.
        careful = ticket.record.crashes > 0
        self._careful_until = now + 2 * self.options.flush_interval if careful else 0.0

    @property
    def id(self) -> str:
        return self.ticket.run.id

    # -- the ticker thread ------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Blow the fuse when something is due. Runs in the ticker's thread."""
        if self.flag.raised or now >= self._flush_due or 0 < self._leave_at <= now:
            self.fuse.clear()
        if self._overdue(now) and not self._ended_by_force:
            self._ended_by_force = True
            os.kill(os.getpid(), TERM_SIGNAL)

    def told_to_die(self) -> bool:
        """A termination signal reached this process; returns whether the leg deals with it."""
        now = time.monotonic()
        if not self.open or self._overdue(now):
            return False
        if self._told_to_die_at is None:
            self._told_to_die_at = now
        self.fuse.clear()
        return True

    def _overdue(self, now: float) -> bool:
        """Whether the item under way has outlived the time it had to finish.

        During a warm stop the worker waits for its children, so the signal was meant for the whole
        process group and the item may take as long as it does.
        """
        if self._told_to_die_at is None or now < self._told_to_die_at + LAST_ITEM:
            return False
        stop = self.flag.stop
        return stop is None or stop.cold

    # -- between two items ------------------------------------------------------------------

    def look(self, cursor: Any, done: int) -> None:
        self.settle(cursor, done)
        if done and not self._checked:
            self._checked = True
            encode(self.checkpoint)
        now = time.monotonic()
        reason = self.stop_reason(now)
        if reason is not None:
            raise Interrupted(reason)
        if now >= self._flush_due or now < self._careful_until:
            self.flush(now)
        if now < self._careful_until:
            self.fuse[:] = [0]

    def stop_reason(self, now: float) -> str | None:
        """Why the leg has to leave, if it has to."""
        stop = self.flag.stop
        if stop is not None:
            return stop.reason
        if self._told_to_die_at is not None:
            return StopReason.SHUTDOWN
        requested = self.ticket.record.requested
        if requested is not None:
            return _REASON_OF[requested]
        if 0 < self._leave_at <= now:
            return StopReason.MAX_LEG_RUNTIME
        return None

    def flush(self, now: float) -> None:
        """Save the checkpoint; a store that is away is tried again while items go on."""
        text = encode(self.checkpoint)
        self._warn_of_still_cursor(text)
        while True:
            try:
                answer = self.ticket.flush(text, self.steps)
                break
            except StoreUnavailable as exc:
                self._outage(now, exc)
                if now < self._lease_until:
                    return
            # The lease may be over: another worker may have the run, so no item goes on.
            time.sleep(STORE_RETRY)
            now = time.monotonic()
        if not answer.accepted:
            raise Interrupted(StopReason.LEASE_LOST)
        if self._outage_since is not None:
            logger.warning(
                "%s: the store is back after %.1f s", self.ticket.run, now - self._outage_since
            )
            self._outage_since = None
        self._lease_until = now + self.ticket.runtime.settings.lease_ttl
        self._flush_due = now + self.options.flush_interval
        signals.emit(
            signals.checkpoint_saved,
            self.task,
            task_id=self.id,
            cursor=self.cursor,
            steps=self.steps,
        )
        self.report.send(self.progress)
        if answer.requested is not None:
            raise Interrupted(_REASON_OF[answer.requested])

    def _outage(self, now: float, exc: StoreUnavailable) -> None:
        self._flush_due = now + STORE_RETRY
        if self._outage_since is None:
            self._outage_since = now
            logger.warning(
                "%s: the checkpoint at cursor %.200r could not be saved; working on until the lease "
                "ends in %.0f s: %s",
                self.ticket.run,
                self.cursor,
                self._lease_until - now,
                exc,
            )

    def _warn_of_still_cursor(self, text: str) -> None:
        still = self.steps > self.ticket.record.steps and _cursor_of(text) == _cursor_of(
            self.ticket.record.checkpoint
        )
        if still and not self._warned_still:
            self._warned_still = True
            logger.warning(
                "%s: the cursor %.200r has not moved over %d items; they will run again if the task "
                "is interrupted here. Yield a cursor that names the last item done.",
                self.ticket.run,
                self.cursor,
                self.steps - self.ticket.record.steps,
            )

    # -- the ways out -----------------------------------------------------------------------

    def enter(self) -> None:
        """Begin: watch for stops, tell whoever wants to know."""
        ticker.enlist(self)
        if getattr(self.task, "reports_started", False):
            results.store_started(self.task, self.request)
        signal = signals.run_resumed if self.resumed else signals.run_started
        signals.emit(signal, self.task, task_id=self.id, cursor=self.cursor, steps=self.steps)
        if self.resumed:
            logger.info(
                "%s resumes after cursor %.200r (%d items done, leg %d)",
                self.ticket.run,
                self.cursor,
                self.steps,
                self.resumptions + 1,
            )

    def leave(self, reason: str) -> None:
        """Hand the run over; raises ``Ignore`` or ``Reject``, or returns if it was taken back."""
        if reason == StopReason.LEASE_LOST:
            self._give_way()
        self.report.settle()
        hook = self.task.on_cancel if reason == StopReason.CANCELLED else None
        if hook is not None:
            hook(*self.args, **self.kwargs)
        else:
            self.task.on_stop(reason, *self.args, **self.kwargs)
        solo = limits.runs_in_main_process(self.flag)
        successor = not (solo and reason in (StopReason.SHUTDOWN, StopReason.MAINTENANCE))
        try:
            decision = self.ticket.hand_over(
                encode(self.checkpoint),
                self.steps,
                reason,
                successor=successor,
                stalls=self._stalls(),
            )
        except StoreUnavailable as exc:
            self._cannot_save(reason, exc)
        if decision.verdict is Verdict.REFUSED:
            self._give_way()
        self.left = True
        signals.emit(
            signals.run_interrupted,
            self.task,
            task_id=self.id,
            cursor=self.cursor,
            steps=self.steps,
            reason=reason,
        )
        if decision.verdict is not Verdict.PUBLISH:
            self._taken_out()
        if not successor:
            self._log_left(reason)
            raise Reject(reason, requeue=True)
        self._publish(reason)

    def _publish(self, reason: str) -> None:
        if reason == StopReason.SHUTDOWN:
            limits.wait_released(self.flag, self.ticket.runtime.settings.hand_over_timeout)
        try:
            self.ticket.publish()
        except OperationalError as exc:
            logger.error(
                "%s: the broker takes no message, so the run goes on here: %s", self.ticket.run, exc
            )
            if self.ticket.reclaim().verdict is not Verdict.RESUME:
                self._give_way()
            self._leave_at = (
                time.monotonic() + STORE_RETRY
                if reason == (StopReason.MAX_LEG_RUNTIME)
                else self._leave_at
            )
            self.left = False
            return
        except PublishUncertain as exc:
            logger.error(
                "%s: %s. A worker publishes it again after one lease (%.0f s).",
                self.ticket.run,
                exc,
                self.ticket.runtime.settings.lease_ttl,
            )
        self._log_left(reason)
        raise Ignore(f"handed over: {reason}")

    def _log_left(self, reason: str) -> None:
        logger.info(
            "%s handed over at cursor %.200r after %d items: %s",
            self.ticket.run,
            self.cursor,
            self.steps,
            reason,
        )

    def _stalls(self) -> int:
        steps, text = self.began_at
        still = self.steps > steps and _cursor_of(encode(self.checkpoint)) == _cursor_of(text)
        stalls = self.ticket.record.stalls + 1 if still else 0
        if stalls >= MAX_STALLS:
            raise CursorError(
                f"{self.ticket.run}: two legs in a row processed items and ended at the cursor "
                f"where they began ({self.cursor!r:.200}), so the run would never end. Yield a "
                "cursor that moves, and pass it to the source on a resume."
            )
        return stalls

    def _give_way(self) -> None:
        self.left = True
        logger.warning(
            "%s: another worker carries the run now; this leg ends without a trace", self.ticket.run
        )
        raise Ignore("the run is carried by another worker")

    def _cannot_save(self, reason: str, exc: StoreUnavailable) -> None:
        logger.error(
            "%s: stopping (%s), and the checkpoint at cursor %.200r could not be saved; items after "
            "the last saved one will run again: %s",
            self.ticket.run,
            reason,
            self.cursor,
            exc,
        )
        self.left = True
        raise Reject(str(exc), requeue=True) from exc

    def _taken_out(self) -> None:
        record = self.ticket.record
        if record.outcome is Outcome.CANCELLED:
            results.store_revoked(self.task, self.request)
            signals.emit(
                signals.run_cancelled,
                self.task,
                task_id=self.id,
                cursor=self.cursor,
                steps=self.steps,
            )
        logger.info(
            "%s %s at cursor %.200r after %d items",
            self.ticket.run,
            record.outcome or record.state,
            self.cursor,
            self.steps,
        )
        raise Ignore(str(record.outcome or record.state))

    def fail(self, exc: Exception) -> None:
        """An item, the enumerator or a hook raised: save what is done, before Celery takes over."""
        self.report.settle()
        text, steps = self._last_good_checkpoint()
        if self.steps > self.began_at[0]:
            self.request.update(retries=0)  # progress gives the retry budget back
        try:
            self._save_failure(exc, text, steps)
        except StoreError as trouble:
            logger.error(
                "%s: failing at cursor %.200r (%r), and the store does not know: %s",
                self.ticket.run,
                self.cursor,
                exc,
                trouble,
            )

    def _last_good_checkpoint(self) -> tuple[str | None, int]:
        try:
            return encode(self.checkpoint), self.steps
        except CursorError:
            return self.ticket.record.checkpoint, self.ticket.record.steps

    def _save_failure(self, exc: Exception, text: str | None, steps: int) -> None:
        if isinstance(exc, Ignore):
            self.ticket.end(Outcome.COMPLETED)
        elif isinstance(exc, Reject) and exc.requeue:
            self.ticket.hand_over(text, steps, "rejected", successor=False)
        elif isinstance(exc, Reject):
            self.ticket.end(Outcome.FAILED)
        elif not limits.will_autoretry(self.task, exc):
            saved = results.dump_error(self.task, exc)
            self.ticket.finish(text, steps, saved, Outcome.FAILED)
        elif text is not None:
            self.ticket.save(text, steps)
            if self.ticket.record.requested is Request.CANCEL:
                self.leave(StopReason.CANCELLED)

    def finish_failed(self, exc: BaseException) -> None:
        """The last retry is spent: save the final error."""
        text, steps = self._last_good_checkpoint()
        self.ticket.finish(text, steps, results.dump_error(self.task, exc), Outcome.FAILED)

    def finish(self, result: Any) -> None:
        """Save the result, before Celery stores it and fires callbacks."""
        self.report.settle()
        saved = results.dump(self.task, result)
        decision = self.ticket.finish(encode(self.checkpoint), self.steps, saved, Outcome.COMPLETED)
        if decision.verdict is Verdict.REFUSED:
            self._give_way()

    def abandon(self) -> None:
        """The process is told to die at once: let go of the lease, so that the message may return."""
        try:
            self.ticket.hand_over(
                encode(self.checkpoint),
                self.steps,
                StopReason.SHUTDOWN,
                successor=False,
                patience=0.0,
            )
        except (StoreError, CursorError) as exc:
            logger.error(
                "%s: dying at cursor %.200r without saving it: %s",
                self.ticket.run,
                self.cursor,
                exc,
            )

    def close(self) -> None:
        """No longer watched by the ticker."""
        self.open = False
        ticker.leave(self)


_REASON_OF = {Request.CANCEL: StopReason.CANCELLED, Request.PAUSE: StopReason.PAUSED}


def _cursor_of(text: str | None) -> str:
    """The part of an encoded checkpoint that tells where it stands."""
    if text is None:
        return '{"cursor":null'
    return text.split(',"carry":', 1)[0]
