"""Closing some of a worker's queues for a while: nothing is consumed from them.

``Tasks.start`` makes a new consumer at every connection, and the loop lets it consume after all
steps have started; remote control may add queues at any time. So what is closed is taken out of
the consumer's queues, and looked after. Tried on Celery 5.5 to 5.7 with kombu 5.5 to 5.7.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from celery_graceful._celery.consumer.stop_consuming import name_late_messages
from celery_graceful._celery.threads.native import snapshot

logger = logging.getLogger("celery_graceful.worker")


class Intake:
    """The queues of one worker's consumer. All calls come from the thread that consumes.

    Args:
        consumer: Celery's consumer, not yet started.
        changed: called after remote control has added a queue.
    """

    def __init__(self, consumer: Any, changed: Callable[[], None]) -> None:
        self._consumer = consumer
        self._changed = changed
        self._closed: dict[str, Any] = {}
        self._names_by_tag: dict[str, str] = {}
        self._watch_remote_control()

    @property
    def names(self) -> list[str]:
        """The queues that are consumed, or would be if nothing were closed. Any thread."""
        tasks = self._consumer.task_consumer
        consumed = [queue.name for queue in tasks.queues] if tasks is not None else []
        return list(dict.fromkeys([*consumed, *snapshot(self._closed)]))

    def reconnected(self) -> None:
        """There is a new consumer, with all its queues; it does not consume yet."""
        self._closed.clear()
        self._names_by_tag.clear()

    def settle(self, closed: Callable[[str], bool]) -> bool:
        """Consume from those queues that are not ``closed``; returns whether that changed."""
        tasks = self._consumer.task_consumer
        if tasks is None:
            return False
        self._learn_tags()
        shut = [queue for queue in tasks.queues if closed(queue.name)]
        for queue in shut:
            self._closed[queue.name] = queue
            tasks.cancel_by_queue(queue.name)
        if shut:
            name_late_messages(self._consumer.connection, [queue.name for queue in shut])
        reopened = [name for name in self._closed if not closed(name)]
        for name in reopened:
            tasks.add_queue(self._closed.pop(name))
        if reopened:
            tasks.consume()
            self._learn_tags()
        return bool(shut or reopened)

    def queue_by_tag(self, message: Any) -> str | None:
        """The queue a message was delivered from, where the broker says it (AMQP)."""
        tag = (message.delivery_info or {}).get("consumer_tag")
        if tag is None:
            return None
        if tag not in self._names_by_tag:
            self._learn_tags()
        return self._names_by_tag.get(tag)

    def _learn_tags(self) -> None:
        tags = getattr(self._consumer.task_consumer, "_active_tags", None) or {}
        self._names_by_tag.update((tag, name) for name, tag in tuple(tags.items()))

    def _watch_remote_control(self) -> None:
        consumer = self._consumer
        add, cancel = consumer.add_task_queue, consumer.cancel_task_queue

        def add_task_queue(queue: str, *args: Any, **options: Any) -> Any:
            if queue in self._closed:
                return None  # it is added when it opens again
            done = add(queue, *args, **options)
            self._changed()
            return done

        def cancel_task_queue(queue: str) -> Any:
            self._closed.pop(queue, None)
            return cancel(queue)

        consumer.add_task_queue, consumer.cancel_task_queue = add_task_queue, cancel_task_queue
