"""What users write in an iterable task: options and hooks, with defaults that do nothing."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

from celery import Task

from celery_graceful._celery.task.pydantic_models import Models, Options, options_in
from celery_graceful.atomic import Atomic
from celery_graceful.errors import DefinitionError


class RunTask(Task):  # type: ignore[type-arg]
    """A task as the rest of this room sees it; :class:`IterableTask` makes it run."""

    abstract = True

    #: Seconds between two saved checkpoints; ``None``: ``graceful_checkpoint_interval``.
    checkpoint_interval: ClassVar[float | str | None] = None
    #: Seconds after which an execution gives its slot back, 0: never; ``None``:
    #: ``graceful_max_execution_time``.
    max_execution_time: ClassVar[float | str | None] = None
    #: Crashed executions in a row without progress that end the run; ``None``:
    #: ``graceful_max_crashes``.
    max_crashes: ClassVar[int | None] = None
    #: Commits items' work and their checkpoint in one transaction of the task's own database.
    atomic: ClassVar[Atomic | None] = None

    #: The queue and the priority of messages that resume a run after a stop or a crash; ``None``:
    #: ``graceful_resume_queue``, ``graceful_resume_priority``.
    resume_queue: ClassVar[str | None] = None
    resume_priority: ClassVar[int | None] = None

    #: Record each item before it begins, so that after a crash :attr:`Progress.in_doubt` names the
    #: one that may have run already. A store call per item; for classes.
    track_in_doubt: ClassVar[bool] = False

    #: Quarantine items that fail and continue, up to this number, or this share (``0.01``,
    #: ``"1%"``) of them; ``None``: an item that fails, fails the run. For classes.
    max_failed_items: ClassVar[float | str | None] = None

    #: The version of cursor and carry, raised when the code gives them another meaning. A run whose
    #: checkpoint has an older one continues after :attr:`migrate_cursor`, or pauses.
    cursor_version: ClassVar[int] = 1
    #: ``migrate_cursor(self, cursor, carry, version)`` returns the cursor, in the present version,
    #: that means the same as ``cursor`` in an older ``version``, and may change ``carry``.
    migrate_cursor: ClassVar[Callable[..., Any] | None] = None

    #: As Celery's decorators take them: validate arguments that are annotated as models of
    #: Pydantic, and dump a model that is the result.
    pydantic: ClassVar[bool] = False
    pydantic_strict: ClassVar[bool] = False
    pydantic_context: ClassVar[dict[str, Any] | None] = None
    pydantic_dump_kwargs: ClassVar[dict[str, Any] | None] = None

    #: Has to run during maintenance too: its queue must be among
    #: ``graceful_maintenance_exempt_queues``, which worker, beat and commands check.
    maintenance_exempt: ClassVar[bool] = False

    #: What is wrong with how the task is written; see :mod:`.definitions`.
    faults: ClassVar[tuple[str, ...]] = ()
    #: Whether STARTED is wanted; Celery itself would write it before admission.
    reports_started: ClassVar[bool] = False
    #: The user's generator, when the task is written as one.
    body: ClassVar[Callable[..., Any] | None] = None

    def raise_faults(self) -> None:
        """Raise :exc:`~celery_graceful.errors.DefinitionError` if the task is not well written."""
        if self.faults:
            raise DefinitionError("\n".join(self.faults))

    def build_enumerator(self, *args: Any, **kwargs: Any) -> Iterable[tuple[Any, Any]]:
        """Return (item, cursor) pairs that begin after ``cursor`` (``None``: at the beginning).

        Write it as ``def build_enumerator(self, …, *, cursor)``, with the run's own arguments.
        """
        raise NotImplementedError

    def each_iteration(self, item: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Process one item. Update :attr:`carry` last: what raises before is not counted."""
        raise NotImplementedError

    def count(self, *args: Any, **kwargs: Any) -> int | None:
        """How many items there are, asked once per run; ``None`` when that is not known."""
        return None

    def result(self, *args: Any, **kwargs: Any) -> Any:
        """The task's result, when all items are done (class style)."""
        return None

    def on_start(self, *args: Any, **kwargs: Any) -> None:
        """Called when the run begins."""

    def on_resume(self, *args: Any, **kwargs: Any) -> None:
        """Called when a later execution begins."""

    def on_stop(self, reason: str, /, *args: Any, **kwargs: Any) -> None:
        """Called when the run is interrupted, before its last checkpoint is saved."""

    def on_complete(self, *args: Any, **kwargs: Any) -> None:
        """Called when all items are done, before the result is made."""

    def on_cancel(self, *args: Any, **kwargs: Any) -> None:
        """Called when the run was cancelled while it ran."""

    def around_iteration(
        self, item: Any, /, *args: Any, **kwargs: Any
    ) -> AbstractContextManager[Any]:
        """A context manager entered around each item; ``item`` is ``None`` for generators."""
        return nullcontext()


# -- Pydantic --------------------------------------------------------------------------------

#: What :func:`models_of` has found, by the class of the task.
_found: WeakKeyDictionary[type, Models | None] = WeakKeyDictionary()


def models_of(task: RunTask) -> Models | None:
    """What validates the task's arguments and dumps its result; ``None`` without ``pydantic``."""
    cls = type(task)
    try:
        return _found[cls]
    except KeyError:
        found = _found[cls] = _models(task)
        return found


def sendable(task: RunTask, args: Any, kwargs: Any, serializer: str | None) -> tuple[Any, Any]:
    """Dump models among a caller's arguments, as Celery's decorators have it done since 5.7."""
    models = models_of(task)
    dumped_by_celery = getattr(task, "_dump_pydantic_arguments", None) is not None
    if models is None or dumped_by_celery or serializer == "pickle":
        return args, kwargs
    dump = models.dump_arguments
    return (args, kwargs) if dump is None else dump(args, kwargs)


def _models(task: RunTask) -> Models | None:
    body = inspect.getattr_static(type(task), "body", None)
    function = inspect.unwrap(getattr(body, "__func__", body)) if body is not None else None
    options = options_in(getattr(body, "__func__", body)) or _options_of(task)
    signature = getattr(inspect.getattr_static(type(task), "run"), "signature", None)
    if options is None or signature is None:
        return None
    source: Any = function or type(task).build_enumerator
    return Models(
        task.app, str(task.name), options, source, signature, function or type(task).result
    )


def _options_of(task: RunTask) -> Options | None:
    if not task.pydantic:
        return None
    return Options(task.pydantic_strict, task.pydantic_context, task.pydantic_dump_kwargs)
