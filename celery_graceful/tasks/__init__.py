"""The tasks that users write."""

from __future__ import annotations

from celery_graceful.tasks.graceful import GracefulTask
from celery_graceful.tasks.iterable import IterableTask, iterable_task

__all__ = ["GracefulTask", "IterableTask", "iterable_task"]
