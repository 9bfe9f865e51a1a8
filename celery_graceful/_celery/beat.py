"""Celery's beat, whatever its scheduler: to keep entries back, and to send them later.

All schedulers send by ``apply_async`` and are woken by ``tick``. Before that they call a method
that logs "Sending due task", and that sentry-sdk replaces to tell its cron monitors. All of them
are replaced on the scheduler that beat has made, so that users need not name a scheduler class of
ours. Tried with the scheduler of Celery 5.5 to 5.7, celery-redbeat 2.4 and django-celery-beat 2.9.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from celery.utils.time import maybe_make_aware

#: A scheduler's own kind of entry, with ``name``, ``task``, ``args``, ``kwargs``, ``options``.
Entry = Any


class InterceptedScheduler:
    """A scheduler whose sends and turns can be intercepted."""

    def __init__(self, scheduler: Any) -> None:
        self._scheduler = scheduler
        self._apply_async = scheduler.apply_async
        self._apply_entry = scheduler.apply_entry
        #: An entry that may be sent without asking again.
        self._decided: Entry | None = None
        self._failure: Exception | None = None
        self._tick = scheduler.tick
        self._close = scheduler.close

    def intercept(
        self,
        *,
        wake: Callable[[], None],
        keep_back: Callable[[Entry], bool],
        rest: Callable[[float], float],
        leave: Callable[[], None],
    ) -> None:
        """Call these from now on.

        Args:
            wake: called before each turn of the loop.
            keep_back: whether a due entry is not sent; it counts as having had its turn.
            rest: how long to sleep at most until the next turn, given what the scheduler wants.
            leave: called when the scheduler closes: twice after a signal, the first time within
                the signal's handler.
        """

        def apply_async(entry: Entry, *args: Any, **kwargs: Any) -> Any:
            if entry is self._decided or not keep_back(entry):
                return self._send(entry, *args, **kwargs)
            if kwargs.get("advance", args[1] if len(args) > 1 else True):
                self._scheduler.reserve(entry)
            self._sync_if_due()
            return None

        def apply_entry(entry: Entry, *args: Any, **kwargs: Any) -> None:
            if keep_back(entry):
                self._sync_if_due()
            else:
                self._decide(entry, self._apply_entry, *args, **kwargs)

        def tick(*args: Any, **kwargs: Any) -> Any:
            wake()
            wanted = self._tick(*args, **kwargs)
            return rest(wanted) if wanted else wanted

        def close() -> None:
            try:
                leave()
            finally:
                self._close()

        self._scheduler.apply_async = apply_async
        self._scheduler.apply_entry = apply_entry
        if hasattr(self._scheduler, "maybe_due"):
            self._scheduler.maybe_due = self._maybe_due_of_redbeat(keep_back)
        self._scheduler.tick = tick
        self._scheduler.close = close

    def send(self, entry: Entry) -> None:
        """Send an entry out of its turn; its schedule stays as it is.

        Raises:
            Exception: why it was not sent.
        """
        producer = self._scheduler.producer
        if hasattr(self._scheduler, "maybe_due"):
            self._apply_async(entry, producer=producer, advance=False)
            return
        self._failure = None
        self._decide(entry, self._apply_entry, producer=producer)
        if self._failure is not None:
            raise self._failure

    def is_last_turn(self, entry: Entry) -> bool:
        """Whether an entry that is due now is never due again: a one-off, or a rule that has ended.

        Raises:
            Exception: whatever a schedule of the user's own raises.
        """
        model = getattr(entry, "model", None)
        if model is not None:
            return bool(getattr(model, "one_off", False))
        try:
            return entry.schedule.remaining_estimate(entry.default_now()) is None
        except NotImplementedError:
            return False

    def entries(self) -> list[Entry]:
        """All entries that the scheduler knows of now; not to be asked while it sends."""
        if hasattr(self._scheduler.Entry, "from_key"):
            return self._entries_of_redbeat()
        return list(self._scheduler.schedule.values())

    def find(self, name: str) -> Entry | None:
        """The entry of this name as it is now; ``None`` when it is gone, switched off or expired.

        Not all schedulers have all of their entries in ``schedule``: redbeat's holds those that are
        due, django-celery-beat's leaves out those of other hours.
        """
        kind = self._scheduler.Entry
        if hasattr(kind, "from_key"):
            return self._load_of_redbeat(kind.generate_key(self._scheduler.app, name))
        if hasattr(self._scheduler, "Model"):
            model = self._scheduler.Model._default_manager.filter(name=name).first()
            # It has switched off what was to be sent only once, since it was due.
            wanted = model is not None and (model.enabled or model.one_off)
            return _unless_expired(kind(model, app=self._scheduler.app)) if wanted else None
        entry = self._scheduler.schedule.get(name)
        return None if entry is None else _unless_expired(entry)

    def queue_of(self, entry: Entry) -> str:
        """The name of the queue that the entry's message would go to.

        Raises:
            Exception: whatever the user's router raises.
        """
        app = self._scheduler.app
        task: Any = app.tasks.get(entry.task)
        options = {**(task._get_exec_options() if task else {}), **(entry.options or {})}
        routed = app.amqp.router.route(
            options, entry.task, entry.args or (), entry.kwargs or {}, task
        )
        queue = routed.get("queue") or app.conf.task_default_queue
        exchange, key = routed.get("exchange"), routed.get("routing_key")
        if exchange and key:  # together they win over the queue
            wanted = (getattr(exchange, "name", exchange), key)
            for known in app.amqp.queues.values():
                if (known.exchange.name, known.routing_key) == wanted:
                    queue = known
                    break
        return str(getattr(queue, "name", queue))

    def _entries_of_redbeat(self) -> list[Entry]:
        from redbeat.schedulers import get_redis

        app = self._scheduler.app
        keys = get_redis(app).zrange(app.redbeat_conf.schedule_key, 0, -1)
        return [entry for entry in map(self._load_of_redbeat, keys) if entry is not None]

    def _load_of_redbeat(self, key: str) -> Entry | None:
        try:
            entry = self._scheduler.Entry.from_key(key, app=self._scheduler.app)
        except KeyError:
            return None
        return _unless_expired(entry) if entry.enabled else None

    def _maybe_due_of_redbeat(self, keep_back: Callable[[Entry], bool]) -> Callable[..., Any]:
        theirs = self._scheduler.maybe_due

        def maybe_due(entry: Entry, **kwargs: Any) -> Any:
            is_due, next_time = entry.is_due()
            if not is_due or not keep_back(entry):
                return self._decide(entry, theirs, **kwargs)
            self._scheduler.reserve(entry)
            self._sync_if_due()
            return next_time

        return maybe_due

    def _decide(self, entry: Entry, send: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Let the scheduler send an entry, if it likes."""
        self._decided = entry
        try:
            return send(entry, *args, **kwargs)
        finally:
            self._decided = None

    def _send(self, entry: Entry, *args: Any, **kwargs: Any) -> Any:
        try:
            return self._apply_async(entry, *args, **kwargs)
        except Exception as exc:  # the scheduler logs it, and continues
            self._failure = exc
            raise

    def _sync_if_due(self) -> None:
        """What ``apply_async`` does at its end, so that the schedule is saved as often as ever."""
        self._scheduler._tasks_since_sync += 1
        if self._scheduler.should_sync():
            self._scheduler._do_sync()


def _unless_expired(entry: Entry) -> Entry | None:
    """An entry, unless its message would be too late: no worker would take it."""
    expires = (entry.options or {}).get("expires")
    if not isinstance(expires, datetime):
        return entry
    return entry if maybe_make_aware(expires) > maybe_make_aware(entry.default_now()) else None
