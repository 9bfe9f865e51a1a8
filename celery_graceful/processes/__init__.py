"""Processes beside a task that never outlive it."""

from __future__ import annotations

from celery_graceful.processes import ready
from celery_graceful.processes.background import BackgroundProcess, background_process
from celery_graceful.processes.current_task import at_task_exit

__all__ = ["BackgroundProcess", "at_task_exit", "background_process", "ready"]
