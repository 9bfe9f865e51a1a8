"""Records of runs in the memory of one process."""

from __future__ import annotations

from celery_graceful.stores.memory.store import MemoryStore

__all__ = ["MemoryStore"]
