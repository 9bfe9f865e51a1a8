"""Signals of runs, for metrics, logs and alerts.

Receivers are called as ``receiver(task, **details)``, in the process and thread that runs the
execution, and in no fixed order. A receiver that raises is logged and breaks neither the run nor
the other receivers. Take ``**details`` in every receiver: later versions may send more. Connected
receivers are held weakly; connect a closure or a lambda with ``weak=False``::

    @signals.run_completed.connect_via(import_csv)
    def notify(task, *, task_id, **details): ...
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from inspect import iscoroutinefunction
from typing import Any, TypeVar

from blinker import ANY, NamedSignal, Namespace
from celery.exceptions import SoftTimeLimitExceeded

__all__ = [
    "checkpoint_saved",
    "emit",
    "item_put_aside",
    "maintenance_entered",
    "maintenance_left",
    "run_cancelled",
    "run_completed",
    "run_failed",
    "run_gave_up",
    "run_interrupted",
    "run_resumed",
    "run_started",
    "stop_requested",
    "task_handed_back",
    "task_lost",
]

_log = logging.getLogger(__name__)
_Receiver = TypeVar("_Receiver", bound=Callable[..., Any])


class _Promised:
    """Stands for a task that is still a proxy, as ``@shared_task`` and ``@app.task`` return."""

    def __init__(self, proxy: Any) -> None:
        self._proxy = proxy

    def means(self, task: Any) -> bool:
        """Whether the proxy now stands for ``task``; by name, since each app has its own object."""
        try:
            name = self._proxy._get_current_object().name
        except Exception:
            _log.exception("A signal is connected to a task that cannot be found")
            return False
        return bool(name == getattr(task, "name", None))


class TaskSignal(NamedSignal):
    """A signal whose senders are tasks, and whose receivers may be connected to task proxies.

    Plain blinker would resolve a proxy while modules are still being imported, and would then
    not know the task again.
    """

    def __init__(self, name: str, doc: str | None = None) -> None:
        super().__init__(name, doc)
        self._promised: dict[int, _Promised] = {}

    def connect(self, receiver: _Receiver, sender: Any = ANY, weak: bool = True) -> _Receiver:
        return super().connect(receiver, self._stand_in(sender), weak)

    def disconnect(self, receiver: Callable[..., Any], sender: Any = ANY) -> None:
        super().disconnect(receiver, self._stand_in(sender))

    def receivers_for(self, sender: Any) -> Generator[Callable[..., Any], None, None]:
        seen = []
        for name in (sender, *self._promises_of(sender)):
            for receiver in super().receivers_for(name):
                if receiver not in seen:
                    seen.append(receiver)
                    yield receiver

    def _stand_in(self, sender: Any) -> Any:
        # type(), since isinstance() would resolve the proxy.
        if not hasattr(type(sender), "_get_current_object"):
            return sender
        return self._promised.setdefault(id(sender), _Promised(sender))

    def _promises_of(self, task: Any) -> list[_Promised]:
        return [promised for promised in self._promised.values() if promised.means(task)]


_namespace = Namespace()


def _signal(name: str, doc: str) -> TaskSignal:
    signal = _namespace[name] = TaskSignal(name, doc)
    return signal


#: An execution was asked to stop; it stops after its present item.
#: Details: ``task_id``, ``reason`` (a :class:`~celery_graceful.model.run.reasons.StopReason`).
stop_requested = _signal("stop-requested", "An execution was asked to stop.")

#: The first execution of a run begins, before ``on_start``.
#: Details: ``task_id``, ``cursor`` (the caller's seed, or ``None``), ``steps`` (0).
run_started = _signal("run-started", "The first execution of a run begins.")

#: A further execution of a run begins, before ``on_resume``.
#: Details: ``task_id``, ``cursor`` (done up to and including), ``steps`` (items done so far).
run_resumed = _signal("run-resumed", "A further execution of a run begins.")

#: The store has accepted a checkpoint: at most once per checkpoint interval, and at an execution's
#: end. Details: ``task_id``, ``cursor``, ``steps`` (items done since the run began).
checkpoint_saved = _signal("checkpoint-saved", "The store has accepted a checkpoint.")

#: An item failed and was quarantined; the run continues.
#: Details: ``task_id``, ``cursor`` (of that item), ``steps``, ``exception``, ``errors`` (items
#: quarantined since the run began).
item_put_aside = _signal("item-put-aside", "An item failed and was quarantined.")

#: An execution ends before its run is done; the checkpoint is saved, the run continues elsewhere.
#: Details: ``task_id``, ``cursor``, ``steps``, ``reason`` (as for ``stop_requested``).
run_interrupted = _signal("run-interrupted", "An execution ends before its run is done.")

#: A run is done, after ``on_complete``. Sent once per run.
#: Details: ``task_id``, ``cursor``, ``steps``, ``result``.
run_completed = _signal("run-completed", "A run is done.")

#: A run has failed for good; not sent for an error that is retried.
#: Details: ``task_id``, ``cursor``, ``steps``, ``exception``.
run_failed = _signal("run-failed", "A run has failed for good.")

#: A run fails, since its executions died one after the other; ``run_failed`` follows.
#: Details: ``task_id``, ``cursor``, ``steps``, ``crashes``, ``last_crash`` (how the last execution
#: was lost: a signal, a lease that expired).
run_gave_up = _signal("run-gave-up", "A run fails after too many crashes.")

#: A run was cancelled or revoked, after ``on_cancel``.
#: Details: ``task_id``, ``cursor``, ``steps``.
run_cancelled = _signal("run-cancelled", "A run was cancelled.")

#: A worker starts nothing more of what the maintenance mode holds. Sender: the app; in the main
#: process. Sent again when the mode changes. Details: ``worker`` (its node name), ``scopes``,
#: ``reason``, ``who``.
maintenance_entered = _signal("maintenance-entered", "A worker goes into maintenance.")

#: A worker works as before. Sender and details as for ``maintenance_entered``.
maintenance_left = _signal("maintenance-left", "A worker comes out of maintenance.")

#: A stopping worker has cut a task off, and its message is the broker's again. Sender: the task;
#: in the main process. Details: ``task_id``, ``worker`` (its node name), ``seconds`` (how long it
#: ran).
task_handed_back = _signal("task-handed-back", "A task was cut off, and its message given back.")

#: A stopping worker has cut a task off whose message was acknowledged when it began. Sender and
#: details as for ``task_handed_back``; also ``arguments``, as text.
task_lost = _signal("task-lost", "A task was cut off, and its message is gone.")


def emit(signal: NamedSignal, sender: Any, **details: Any) -> None:
    """Call every receiver of ``signal``; what a receiver raises is logged, not raised.

    Args:
        signal: one of the signals of this module.
        sender: the task that the signal is about.
        **details: keyword arguments for the receivers; with ``task_id`` for a run's signals.

    Raises:
        SoftTimeLimitExceeded: the limit of the task ended while a receiver ran.
        BaseException: whatever a receiver raises that is no :exc:`Exception`.
    """
    if not signal.receivers or signal.is_muted:
        return
    # A list: a receiver may connect and disconnect others.
    for receiver in list(signal.receivers_for(sender)):
        _call(receiver, signal, sender, details)


def _call(
    receiver: Callable[..., Any], signal: NamedSignal, sender: Any, details: dict[str, Any]
) -> None:
    try:
        if iscoroutinefunction(receiver):
            raise TypeError("a receiver must be a plain function, not a coroutine function")
        receiver(sender, **details)
    except SoftTimeLimitExceeded:
        raise
    except Exception:
        _log.exception(
            "Receiver %s of signal %r failed for task %s[%s]",
            _name(receiver),
            signal.name,
            getattr(sender, "name", sender),
            details.get("task_id", "no id"),
        )


def _name(receiver: Callable[..., Any]) -> str:
    qualified = getattr(receiver, "__qualname__", None) or repr(receiver)
    return f"{getattr(receiver, '__module__', '?')}.{qualified}"
