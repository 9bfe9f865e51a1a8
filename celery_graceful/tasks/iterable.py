"""``IterableTask``: a task made of items, that can stop after any and continue elsewhere."""

from __future__ import annotations

import inspect
from typing import Any, NoReturn

from celery import shared_task
from celery.exceptions import Ignore, Reject, Retry

from celery_graceful._celery.consumer.run_hooks import mark_received
from celery_graceful._celery.task.current_app import share
from celery_graceful._celery.task.delivery import Delivery
from celery_graceful.errors import GracefulError
from celery_graceful.execution import delivery as deliveries
from celery_graceful.execution import ending, here
from celery_graceful.execution.execution import execution_of
from celery_graceful.execution.leaving import retries
from celery_graceful.execution.run_task import RunTask, sendable
from celery_graceful.model.run_progress import Progress
from celery_graceful.tasks import definitions
from celery_graceful.tasks.graceful import GracefulTask
from celery_graceful.tasks.run_method import RunMethod


class IterableTask(RunTask, GracefulTask):
    """Base of tasks that process items one after the other and survive interruptions between them.

    Either as a generator that yields a cursor after each item (``@iterable_task`` or
    ``@app.task(base=IterableTask)``), or as a class with :meth:`build_enumerator` and
    :meth:`each_iteration`. A cursor means *done up to and including*.

    All hooks get the run's arguments; the cursor is never among them.
    """

    abstract = True

    # A message is kept until its execution has ended, and comes back when the process dies.
    acks_late = True
    reject_on_worker_lost = True
    retry_on_worker_lost = False
    Request = "celery_graceful._celery.consumer.request:RunRequest"

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        found = inspect.getattr_static(cls, "run")
        if not isinstance(found, RunMethod):
            # Out of the way of our ``run``, so that what Celery wraps around it (autoretry) stays
            # outside of the loop and sees what an item raises.
            cls.body = found
        elif "build_enumerator" in cls.__dict__ or "each_iteration" in cls.__dict__:
            cls.body = None  # a class below a generator may change the style
        elif cls.body is not None or found.source is cls.build_enumerator:
            return
        cls._define_run()

    def start_strategy(self, app: Any, consumer: Any, **kwargs: Any) -> Any:
        """Called by Celery for each consumer: it makes requests that know their worker."""
        return mark_received(super().start_strategy(app, consumer, **kwargs), consumer)

    @classmethod
    def _define_run(cls) -> None:
        run = RunMethod(cls, inspect.getattr_static(cls, "body"))
        own: dict[str, Any] = {"run": run}
        if "__header__" not in cls.__dict__:  # else a decorator of Celery has made it
            own["__header__"] = run.header()
        for name, value in own.items():
            setattr(cls, name, value)

    @classmethod
    def _prepare_class(cls) -> None:
        cls.reports_started = cls.reports_started or bool(cls.track_started)
        cls.track_started = False
        if not (cls.__module__ or "").startswith("celery_graceful.tasks."):
            cls.faults = definitions.faults_of(cls, inspect.getattr_static(cls, "body", None))

    # -- what users read --------------------------------------------------------------------

    @property
    def carry(self) -> dict[str, Any]:
        """A small dict that is saved with every checkpoint: sums, counters.

        Raises:
            NoRunError: no run is under way here.
        """
        return execution_of(self, "carry").carry

    @property
    def progress(self) -> Progress:
        """How far the run has come, as of the last look (at most a checkpoint interval ago).

        Raises:
            NoRunError: no run is under way here.
        """
        return execution_of(self, "progress").progress

    @property
    def transaction(self) -> Any:
        """The transaction of the present batch (a :class:`~celery_graceful.atomic.Work`).

        With SQLAlchemy, its ``session`` is what items work with. With Django, items use the ORM;
        ``connection`` and ``using`` are there for cursors and other aliases.

        What goes through it is committed together with the checkpoint, by the run itself.

        Raises:
            NoRunError: no run is under way here, or the task is not ``atomic``.
        """
        return execution_of(self, "transaction").work.transaction

    # -- what Celery calls ------------------------------------------------------------------

    def _begin_delivery(self, delivery: Delivery, request: Any) -> Ignore | Reject | None:
        """A duplicate ends here, as does a message of which nobody can say what it is."""
        return deliveries.begin(self, delivery, request)

    def apply_async(  # type: ignore[override]
        self, args: Any = None, kwargs: Any = None, **options: Any
    ) -> Any:
        """As in Celery; a retry of the run under way passes through here as well.

        Raises:
            DefinitionError: the task is not written as an iterable task has to be.
        """
        self.raise_faults()
        args, kwargs = sendable(self, args, kwargs, options.get("serializer", self.serializer))
        run = retries.run_to_retry(self, options.get("task_id"))
        if run is None:
            return super().apply_async(args, kwargs, **options)
        return retries.retry_through(run, args, kwargs, options, super().apply_async)

    def retry(self, *args: Any, **kwargs: Any) -> Any:
        ending.raise_if_final(self, kwargs.get("exc"))
        here.keep_for_eager_retry(self)
        try:
            return super().retry(*args, **kwargs)
        except Exception as exc:
            if not isinstance(exc, Retry):
                here.forget_eager_retry(self)
            # Celery fails the task for whatever ``apply_async`` raises, our ways out included.
            reason = getattr(exc, "reason", None)
            if isinstance(exc, Reject) and isinstance(reason, (Ignore, Reject)):
                raise reason from exc
            ending.note_final_error(self, exc)
            raise

    def replace(self, sig: Any, *args: Any, **kwargs: Any) -> NoReturn:
        """Refused: a replacement would orphan the messages that continue the run."""
        raise GracefulError(
            f"{self.name}: an iterable task cannot be replaced by another ({sig!r:.100}); start "
            "the other task from on_complete, or link it"
        )

    def continue_as(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refused: an iterable task continues by itself, at its cursor."""
        raise GracefulError(
            f"{self.name}: an iterable task continues by itself; use GracefulTask for "
            "continuations by hand"
        )


IterableTask._define_run()


def iterable_task(*args: Any, **options: Any) -> Any:
    """Make an iterable task of a generator or a class, shared between apps like ``@shared_task``.

    ``@iterable_task``, ``@iterable_task(name=…, bind=True, …)`` with any option that
    ``@shared_task`` takes, or ``iterable_task(SomeIterableTaskClass)``.

    Raises:
        TypeError: what it is applied to is neither a function nor an ``IterableTask`` class.
    """
    if not args:
        return lambda thing: iterable_task(thing, **options)
    (thing,) = args
    if inspect.isclass(thing) and issubclass(thing, IterableTask) and thing is not IterableTask:
        return _share_class(thing, options)
    if inspect.isclass(thing) or not hasattr(thing, "__name__"):
        raise TypeError(
            f"iterable_task makes tasks of generators and of subclasses of IterableTask, not of "
            f"{thing!r:.200}"
        )
    base = options.setdefault("base", IterableTask)
    if not issubclass(base, IterableTask):
        raise TypeError(
            f"iterable_task needs a base that is an IterableTask, not {base!r}; "
            "use @shared_task for other tasks"
        )
    return shared_task(**options)(thing)


def _share_class(cls: type[IterableTask], options: dict[str, Any]) -> Any:
    """Each app gets a class of its own: binding writes the app's settings into it."""

    made: Any = cls

    def name_in(app: Any) -> str:
        return str(
            options.get("name") or cls.name or app.gen_task_name(cls.__name__, cls.__module__)
        )

    def register(app: Any) -> Any:
        name: str = name_in(app)
        if name not in app._tasks:
            own = {"__module__": cls.__module__, "__doc__": cls.__doc__, **options, "name": name}
            app.register_task(type(made.__name__, (made,), own)(), **options)
        return app._tasks[name]

    return share(register, lambda app: app.tasks[name_in(app)])
