"""The base for any task that wants to stop well: hand-made continuation under the same id."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, NoReturn

from celery import Celery, Task
from celery.exceptions import Ignore, Reject

from celery_graceful._celery.task.app_task import (
    build_on_app_task,
    rebuild_registered,
    registered_class,
)
from celery_graceful._celery.task.delivery import Delivery, Left, Stores, stores_limited
from celery_graceful._celery.task.tracing import catch_ways_out, traced
from celery_graceful.execution.journal.child_tasks import HEADER as CHILDREN
from celery_graceful.execution.journal.child_tasks import Children
from celery_graceful.execution.stopping import guard
from celery_graceful.execution.stopping.stop_hooks import make_stop_aware, no_longer_cut
from celery_graceful.model.run.reasons import StopReason
from celery_graceful.runtime import runtime_of
from celery_graceful.stop import flag


class GracefulTask(Task):  # type: ignore[type-arg]
    """A plain Celery task with :meth:`continue_as`, that can take part in its worker's stop."""

    abstract = True
    #: Has to run during maintenance too: its queue must be among
    #: ``graceful_maintenance_exempt_queues``, which worker, beat and commands check.
    maintenance_exempt = False
    #: Names that the task had: workers accept messages under them, and runs continue.
    former_names: ClassVar[Sequence[str]] = ()
    #: Raise :exc:`~celery_graceful.CutOff` in it when its stopping worker ends what still runs, so
    #: that ``finally`` is run. A task acked late then goes back to its queue, another one fails.
    raise_at_cut = False
    #: A signal to the whole process group leaves it running while its worker waits for it.
    stops_by_itself = True

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Make a task of a class that is also one of its app's ``Task``, if the app is known."""
        app = cls.__dict__.get("app")  # as Celery's decorators set it
        known = isinstance(app, Celery)
        built = build_on_app_task(cls, app) if known else registered_class(cls)
        new: Any = super().__new__
        return new(built) if new is object.__new__ else new(built, *args, **kwargs)

    @classmethod
    def bind(cls, app: Any) -> Any:
        """Called by Celery when the task is registered."""
        built = rebuild_registered(cls, app)
        if built is not cls:
            return built.bind(app)
        bound = super().bind(app)
        make_stop_aware(cls, hook=cls.on_stop_requested is not GracefulTask.on_stop_requested)
        catch_ways_out(cls)
        cls._prepare_class()
        return bound

    @property
    def __trace__(self) -> Any:
        """What Celery calls with a delivery."""
        return self.__dict__.get("graceful_trace")

    @__trace__.setter
    def __trace__(self, tracer: Any) -> None:
        made = None if tracer is None else traced(self, tracer, self._begin_delivery)
        self.__dict__["graceful_trace"] = made

    def _begin_delivery(self, delivery: Delivery, request: Any) -> Ignore | Reject | None:
        """Called before anybody sees a delivery; a way out keeps it from being executed."""
        return None

    @classmethod
    def _prepare_class(cls) -> None:
        """Called when the class of a task was bound to its app."""

    def on_stop_requested(self, reason: StopReason, time_left: float | None) -> None:
        """Called once in an execution under way that should leave; does nothing by itself.

        In a thread of its own, beside the task (under gevent: in a greenlet), with the execution's
        ``self.request``. What it raises is logged.

        Args:
            reason: as of :func:`~celery_graceful.stopping`.
            time_left: seconds until the task is cut off, ``None`` where nobody knows.
        """

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        """Called by Celery before the task runs in a worker."""
        guard.install()
        kept = (self.request.headers or {}).get(CHILDREN)
        if kept:
            Children(self.request, self.app).restore(kept)
        super().before_start(task_id, args, kwargs)

    def continue_as(self, *args: Any, **kwargs: Any) -> Any:
        """End this execution and continue with other arguments in a new one, under the same id.

        Write ``return self.continue_as(…)``: in a worker it does not return, in eager mode and in
        direct calls it runs the task at once and returns its result. Callbacks, chain, chord,
        queue, priority, headers, stamps, limits and the retry budget stay; ``expires`` is
        dropped, since the work has begun. In a stopping worker the message is published only
        when the worker takes no more messages itself.

        Args:
            *args: the positional arguments of the next execution.
            **kwargs: its keyword arguments.

        Raises:
            celery.exceptions.Ignore: always, in a worker; Celery then leaves the state alone.
            kombu.exceptions.OperationalError: the broker cannot be reached; this execution still
                has the work.
        """
        request = self.request
        if request.called_directly or request.is_eager:
            with flag.overlooked():  # or a stop would be seen, and continued from, for ever
                return self.run(*args, **kwargs)
        self._send_continuation(args, kwargs)

    def _send_continuation(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> NoReturn:
        request = self.request
        shared = flag.current()
        if shared is not None and shared.raised:
            shared.wait_released(runtime_of(self.app).settings.release_timeout)
        signature = self.signature_from_request(
            request,
            args=args,
            kwargs=kwargs,
            retries=request.retries,
            ignore_result=request.ignore_result,
            expires=None,
            # Celery would make a root task its own parent.
            headers={
                **(request.headers or {}),
                **_children_of(request, self.app),
                "parent_id": request.parent_id,
            },
        )
        no_longer_cut(request)
        with stores_limited(request, Stores.NONE):  # the next execution may end the task at once
            signature.apply_async(add_to_parent=False)
        raise Left("continued under the same id")


def _children_of(request: Any, app: Any) -> dict[str, Any]:
    """The header that keeps the tasks which were started until now; none if there are none."""
    children = Children(request, app).to_save()
    return {CHILDREN: list(children)} if children else {}
