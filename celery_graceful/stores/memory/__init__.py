"""Records of runs in the memory of one process."""

from celery_graceful.stores.memory.store import MemoryStore

__all__ = ["MemoryStore"]
