"""Which kind of pool a worker has, and what others have to know of it. Tried on 5.5 to 5.7."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_OURS = "celery.concurrency."


@dataclass(frozen=True, slots=True)
class PoolKind:
    """A kind of pool.

    Args:
        name: of Celery's own module for it, such as ``prefork`` or ``thread``, also for a class
            derived from it; of the module of any other.
        children: whether tasks run in child processes, each of which can be ended by itself.
        main_thread: whether tasks run in the worker's main thread, where its event loop would turn.
    """

    name: str
    children: bool = False
    main_thread: bool = False

    @property
    def tasks_overlap(self) -> bool:
        """Whether several tasks run in one process at a time."""
        return not (self.children or self.main_thread)


def pool_kind(worker: Any) -> PoolKind:
    """The kind of a worker's pool. An unknown one has no children, and tasks that overlap."""
    return _kind_of(worker.pool_cls)


def kind_of_pool(pool: Any) -> PoolKind:
    """The same, of the pool itself."""
    return _kind_of(type(pool))


def _kind_of(cls: type) -> PoolKind:
    modules = [base.__module__ for base in cls.__mro__]
    known = [name for name in modules if name.startswith(_OURS) and name != f"{_OURS}base"]
    name = (known or modules)[0].rpartition(".")[2]
    return PoolKind(
        name,
        children=bool(getattr(cls, "uses_semaphore", False)),
        main_thread=name == "solo",
    )
