"""Connecting to whichever of several brokers answers."""

from __future__ import annotations

from typing import Any

__all__ = ["connect"]


def connect(connection: Any, timeout: float) -> None:
    """Connect, as Celery does: to each of the configured brokers in turn, once.

    Args:
        connection: kombu's connection.
        timeout: Seconds after which the brokers count as away.

    Raises:
        kombu.exceptions.OperationalError: None of them answers.
    """
    others = len(connection.alt or ()) - 1
    connection.ensure_connection(max_retries=max(1, others), interval_start=0, timeout=timeout)
