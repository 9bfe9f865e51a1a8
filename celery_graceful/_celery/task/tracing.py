"""Around Celery's tracer: admission before the first receiver, and the state that receivers get.

Celery sets ``task.__trace__``, in each process that runs tasks, to a function that calls the task,
stores what becomes of it, and sends signals. Packages such as sentry-sdk wrap that function, and
what it calls. Tried on Celery 5.5 to 5.7.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from billiard.einfo import ExceptionInfo
from celery import Task, states
from celery.app import trace as _typed_trace
from celery.app.task import Context
from celery.exceptions import Ignore, Reject

from celery_graceful._celery.task import backend_guard
from celery_graceful._celery.task.delivery import Delivery, Left, Returned, delivery_of, tracing

trace: Any = _typed_trace

#: Asks whether a delivery may begin: called with the delivery and its request; returns the way out
#: of one that may not.
Begin = Callable[[Delivery, Any], "Ignore | Reject | None"]


def traced(task: Any, tracer: Callable[..., Any], begin: Begin) -> Callable[..., Any]:
    """Wrap a tracer that Celery, or another package, has made for ``task``."""
    _tell_what_left()
    _raise_ways_out(type(task))

    def trace_delivery(uuid: str, args: Any, kwargs: Any, request: Any = None) -> Any:
        request = request or {}
        delivery = Delivery(uuid, request.get("hostname"))
        way_out = begin(delivery, Context(request, args=args, kwargs=kwargs))
        if way_out is not None:
            return _not_begun(way_out)
        backend_guard.guard(task.backend)
        backend_guard.enlist(delivery)
        with tracing(delivery):
            try:
                return tracer(uuid, args, kwargs, request)
            finally:
                try:
                    delivery.end()
                finally:
                    backend_guard.withdraw(delivery)

    return trace_delivery


def make_tracer(task: Any, hostname: str | None) -> None:
    """Make the tracer of a task that a pool child has registered after Celery made those of all."""
    app = task.app
    task.__trace__ = trace.build_tracer(task.name, task, app.loader, hostname, app=app)


def _not_begun(way_out: Ignore | Reject) -> Any:
    """What the worker's main process is to know of a message that was not executed."""
    state = states.IGNORED if isinstance(way_out, Ignore) else states.REJECTED
    try:
        raise way_out
    except (Ignore, Reject):
        info = ExceptionInfo(internal=True)
    return trace.trace_ok_t(info, trace.TraceInfo(state, way_out), 0.0, None)


def catch_ways_out(cls: Any) -> None:
    """Have a task class return, where it left its task, in place of raising.

    Whoever wraps the class then sees a call that returned; :func:`traced` raises what is caught
    here outside of all wrappers.
    """
    theirs = cls.__call__
    if getattr(theirs, "catches", None) is theirs:
        return
    own = cls.__dict__.get("__call__")

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return _call(cls, own, self, args, kwargs)
        except (Left, Returned) as exc:
            delivery = delivery_of(self.request)
            if delivery is None:
                raise
            delivery.way_out = exc
            return None

    vars(call).update(vars(theirs))  # other marks of what it does
    call.catches = call  # type: ignore[attr-defined]
    cls.__call__ = call


def _call(cls: Any, own: Any, task: Any, args: Any, kwargs: Any) -> Any:
    """Call a task as if ``cls`` had no other call than its ``own``.

    Without one, what comes next is found anew: a class below it may be that of another app.
    """
    if own is not None:
        return own(task, *args, **kwargs)
    inherited = super(cls, task).__call__
    if inherited.__func__ is not Task.__call__:
        return inherited(*args, **kwargs)
    # As Celery's tracer does, which passes over a class without a call of its own.
    request = task.request_stack.top
    if request is None or request.called_directly or request._protected:
        return Task.__call__(task, *args, **kwargs)
    request._protected = 1
    return task.run(*args, **kwargs)


def _raise_ways_out(cls: Any) -> None:
    """Wrap the call of a class once more, outside of what others have wrapped it in by now."""
    inner = cls.__call__
    if getattr(inner, "outermost", None) is inner:
        return
    own = cls.__dict__.get("__call__")

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        delivery = delivery_of(self.request)
        if delivery is None or type(self).__call__ is not call:
            return _call(cls, own, self, args, kwargs)
        try:
            result = _call(cls, own, self, args, kwargs)
        except Exception as exc:
            if delivery.way_out is not None:  # a wrapper could not do with what was returned
                raise delivery.way_out from exc
            raise
        if delivery.way_out is not None:
            raise delivery.way_out
        return result

    call.outermost = call  # type: ignore[attr-defined]
    cls.__call__ = call


def _tell_what_left() -> None:
    """Once per process: ``task_postrun`` and the log say what an execution that left came to."""
    if getattr(trace.send_postrun, "graceful", False):
        return
    send_postrun = trace.send_postrun

    def send(sender: Any, task: Any, state: Any, retval: Any, **details: Any) -> Any:
        if state in trace.IGNORE_STATES:  # those of an execution that is not an end
            delivery = delivery_of(task.request)
            if delivery is not None:
                delivery.end()  # a receiver may wait as long as it likes
                if delivery.way_out is not None:
                    state, retval = delivery.reported()
        return send_postrun(sender=sender, task=task, state=state, retval=retval, **details)

    send.graceful = True  # type: ignore[attr-defined]
    trace.send_postrun = send
    for name in ("handle_ignore", "handle_reject"):
        setattr(trace.TraceInfo, name, _unless_left(getattr(trace.TraceInfo, name)))


def _unless_left(handle: Callable[..., Any]) -> Callable[..., Any]:
    """Celery's line in the log, where the execution has not written a better one."""

    def handle_unless_left(self: Any, task: Any, req: Any, **options: Any) -> Any:
        delivery = delivery_of(req)
        if delivery is None or delivery.way_out is None:
            return handle(self, task, req, **options)
        return None

    return handle_unless_left
