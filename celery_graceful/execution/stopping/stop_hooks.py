"""Executions that are notified of a stop: a hook is called, an exception is raised."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn

from celery import Task
from celery.utils.saferepr import saferepr

from celery_graceful._celery.task.current_app import with_request
from celery_graceful._celery.task.delivery import Returned
from celery_graceful._celery.threads.greenlets import loop_here, run_in_own_thread
from celery_graceful._celery.threads.interruption import Edge
from celery_graceful.errors import CutOff, CutOffError
from celery_graceful.execution.loop import ticker
from celery_graceful.model.run.reasons import StopReason
from celery_graceful.stop import flag as stop_flag
from celery_graceful.stop import time_left
from celery_graceful.stop.flag import StopFlag
from celery_graceful.stop.hold import has_to_stop, queue_of_delivery

logger = logging.getLogger("celery_graceful.tasks")

#: Where such an execution is kept on its request.
STOP_AWARE = "graceful_stop_aware"


def make_stop_aware(cls: Any, hook: bool) -> None:
    """Notify the executions of a task class, if it wants any of this; others pay nothing.

    Args:
        cls: the class of a registered task.
        hook: whether it defines ``on_stop_requested``.
    """
    theirs = cls.__call__
    if not (hook or cls.raise_at_cut) or getattr(theirs, "stop_aware", False):
        return
    plain = theirs is Task.__call__  # which Celery replaces in a worker

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        aware = _begun(self, hook)
        if aware is None:
            return (Task.__call__ if plain else theirs)(self, *args, **kwargs)
        run = self.run if plain else partial(theirs, self)
        return aware.run(partial(run, *args, **kwargs))

    call.stop_aware = True  # type: ignore[attr-defined]
    cls.__call__ = call


def _begun(task: Any, hook: bool) -> StopAware | None:
    request = task.request
    if request.called_directly or request.is_eager or hasattr(request, STOP_AWARE):
        return None
    flag = stop_flag.current()
    if flag is None:
        return None
    aware = StopAware(task, request, flag, hook)
    setattr(request, STOP_AWARE, aware)
    return aware


class StopAware:
    """One execution of a task in a worker.

    Args:
        request: the execution's own.
        hook: whether ``on_stop_requested`` is to be called.
    """

    def __init__(self, task: Any, request: Any, flag: StopFlag, hook: bool) -> None:
        self._task = task
        self._request = request
        self._flag = flag
        self._hook = hook
        self._loop = loop_here() if hook else None
        self._began = time.monotonic()
        self._ended = self._is_cut = False
        self._held_number = b""
        self.edge = Edge(CutOff) if task.raise_at_cut else None

    def run(self, call: Callable[[], Any]) -> Any:
        """Call the task's code.

        Raises:
            Returned: it was cut off, and its message goes back to the broker.
            CutOffError: it was cut off, and nothing brings its message back.
        """
        ticker.enlist(self)
        try:
            return call() if self.edge is None else self._within(self.edge, call)
        finally:
            self._ended = True
            ticker.leave(self)

    def _within(self, edge: Edge, call: Callable[[], Any]) -> Any:
        returned: list[Any] = []
        try:
            try:
                edge.open()
                returned.append(call())
            finally:
                edge.close()
        except CutOff as exc:
            edge.close()  # was interrupted, perhaps
            if not edge.was_thrown:
                raise  # by the task itself: to give its message back would repeat that for ever
            if not returned:
                self._cut_off(exc)
        return returned[0]

    def _cut_off(self, exc: CutOff) -> NoReturn:
        name, seconds = f"{self._task.name}[{self._request.id}]", time.monotonic() - self._began
        if self._task.acks_late:
            logger.warning("%s was cut off after %.1f s: its message goes back", name, seconds)
            raise Returned(f"cut off after {seconds:.1f} s") from exc
        logger.error(
            "%s was cut off after %.1f s and fails, args=%s kwargs=%s: its message was "
            "acknowledged when it began. With acks_late it would have gone back to its queue.",
            name,
            seconds,
            self._shown("args"),
            self._shown("kwargs"),
        )
        raise CutOffError(
            f"{name} was cut off after {seconds:.1f} s: its worker was stopped and about to be "
            "killed. With acks_late its message would have gone back to its queue."
        ) from exc

    def _shown(self, which: str) -> str:
        """Its arguments, as its sender wants them shown."""
        shown = getattr(self._request, f"{which}repr", None)
        return str(shown or saferepr(getattr(self._request, which)))

    # -- the ticker thread ------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Raise once it is time, call the hook once there is a stop."""
        if self.edge is not None and not self._is_cut and is_cut(self._flag, now):
            self._is_cut = True
            self.edge.throw()
        if self._hook and (reason := self._reason()) is not None:
            self._hook = False
            call = partial(with_request, self._task, self._request, partial(self._tell, reason))
            run_in_own_thread(call, f"on_stop_requested {self._task.name}", self._loop)

    def tick_failed(self) -> None:
        """It is tried again at the next tick; the task itself has nothing to check."""

    def _reason(self) -> StopReason | None:
        stop = self._flag.stop
        if stop is not None:
            return stop.reason
        mode_snapshot = self._flag.mode_snapshot
        if not mode_snapshot or mode_snapshot.number == self._held_number:
            return None
        number = mode_snapshot.number
        queue = queue_of_delivery(self._task.app, self._request.delivery_info)
        if has_to_stop(self._flag, self._task.name, queue):
            return StopReason.MAINTENANCE
        self._held_number = number
        return None

    def _tell(self, reason: StopReason) -> None:
        if self._ended:
            return
        try:
            self._task.on_stop_requested(reason, time_left())
        except BaseException:
            logger.exception(
                "%s[%s]: on_stop_requested failed; the task runs on",
                self._task.name,
                self._request.id,
            )


def is_cut(flag: StopFlag, now: float) -> bool:
    """Whether the worker ends what still runs at ``now`` (monotonic seconds)."""
    stop, cut = flag.stop, flag.cut
    return stop is not None and (stop.cold or (cut is not None and now >= cut))


def raise_if_cut() -> None:
    """Raise :exc:`CutOff` in the task that this signal handler interrupts, if it is to be cut off.

    Only for a task with ``raise_at_cut``, and once.
    """
    flag = stop_flag.current()
    if flag is None or not is_cut(flag, time.monotonic()):
        return
    for each in ticker.enlisted():
        if isinstance(each, StopAware) and each.edge is not None:
            each.edge.raise_here()


def no_longer_cut(request: Any) -> None:
    """What an execution does from here on has to be done to its end."""
    aware = getattr(request, STOP_AWARE, None)
    if aware is not None and aware.edge is not None:
        aware.edge.close()
