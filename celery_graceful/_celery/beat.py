"""Celery's beat, whatever its scheduler: to keep entries back, and to send them later.

All schedulers send by ``apply_async`` and are woken by ``tick``. Both are replaced on the scheduler
that beat has made, so that nobody has to name a scheduler class of ours. Tried with the scheduler
of Celery 5.5 to 5.7, celery-redbeat 2.4 and django-celery-beat 2.9.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["Clockwork"]

#: A scheduler's own kind of entry, with ``name``, ``task``, ``args``, ``kwargs``, ``options``.
Entry = Any


class Clockwork:
    """One scheduler, between its loop and what it sends."""

    def __init__(self, scheduler: Any) -> None:
        self._scheduler = scheduler
        self._apply_async = scheduler.apply_async
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
        """Let the caller have a say.

        Args:
            wake: called before each turn of the loop.
            keep_back: whether a due entry is not sent; it counts as having had its turn.
            rest: how long to sleep at most until the next turn, given what the scheduler wants.
            leave: called when the scheduler closes: twice after a signal, the first time within
                the signal's handler.
        """

        def apply_async(entry: Entry, *args: Any, **kwargs: Any) -> Any:
            if not keep_back(entry):
                return self._apply_async(entry, *args, **kwargs)
            if kwargs.get("advance", args[1] if len(args) > 1 else True):
                self._scheduler.reserve(entry)
            self._sync_if_due()
            return None

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
        self._scheduler.tick = tick
        self._scheduler.close = close

    def send(self, entry: Entry) -> None:
        """Send an entry out of its turn; its schedule stays as it is."""
        self._apply_async(entry, producer=self._scheduler.producer, advance=False)

    def entries(self) -> list[Entry]:
        """All entries that the scheduler knows of now; not to be asked while it sends."""
        if hasattr(self._scheduler.Entry, "from_key"):
            return self._entries_of_redbeat()
        return list(self._scheduler.schedule.values())

    def find(self, name: str) -> Entry | None:
        """The entry of this name as it is now; ``None`` when it is gone or switched off.

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
            return kind(model, app=self._scheduler.app) if wanted else None
        return self._scheduler.schedule.get(name)

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
        return entry if entry.enabled else None

    def _sync_if_due(self) -> None:
        """What ``apply_async`` does at its end, so that the schedule is saved as often as ever."""
        self._scheduler._tasks_since_sync += 1
        if self._scheduler.should_sync():
            self._scheduler._do_sync()
