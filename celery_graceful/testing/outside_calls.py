"""Calls that an item makes to the outside after it has changed the carry.

A process that is terminated there saves a carry that counts the item, and a cursor that does not:
the item runs again and is counted twice. What may be work: functions of other modules, methods of
objects that are no plain data, and whatever ``outcome`` and ``reset`` of the test name.
"""

from __future__ import annotations

from collections.abc import Callable
from types import FrameType, ModuleType
from typing import Any

from celery_graceful.testing.process_state import ProcessState
from celery_graceful.testing.staged_execution import Died, How, Stage

_NO_WORK = frozenset({"celery", "celery_graceful", "kombu", "logging"})
_PLAIN_DATA = frozenset(
    {"builtins", "collections", "datetime", "decimal", "functools", "itertools", "operator", "re"}
    | {"uuid", "zoneinfo", "_contextvars", "_struct"}
)

#: Raised there, a ``with`` block would not be left properly, as it is when a process dies.
_END_OF_BLOCK = "__exit__"
#: What ``order.pk`` calls in Django: ``yield order.pk`` after a change of the carry is no work.
_PRIMARY_KEY = "_get_pk_val"


class OutsideCalls:
    """Finds the items that make such calls, and ends an execution at the first call of one."""

    def __init__(self, state: ProcessState) -> None:
        self._modules = state.modules
        self._world = state.world
        #: The numbers of the items, from 1.
        self.items: set[int] = set()

    def watch(self, stage: Stage) -> Callable[[FrameType, str, Any], None]:
        """What ``sys.setprofile`` is to call while ``stage`` runs its execution."""

        def called(frame: FrameType, event: str, arg: Any) -> None:
            if event == "c_call":
                outside_calls = id(frame.f_globals) in self._modules and self._is_work(arg)
            elif event == "call":
                outside_calls = self._is_outside_call(frame)
            else:
                return
            if outside_calls and stage.carry_changed:
                self.items.add(stage.here + 1)
                ending = stage.ending
                if ending and ending.how is How.TERMINATED and ending.at == stage.here + 1:
                    raise Died

        return called

    def _is_outside_call(self, frame: FrameType) -> bool:
        caller = frame.f_back
        if caller is None or id(caller.f_globals) not in self._modules:
            return False
        if id(frame.f_globals) in self._modules:
            return False  # within the task's own module: only its own calls count
        if frame.f_code.co_name in (_END_OF_BLOCK, _PRIMARY_KEY):
            return False
        name = str(frame.f_globals.get("__name__", ""))
        return name.partition(".")[0] not in _NO_WORK

    def _is_work(self, function: Any) -> bool:
        owner = getattr(function, "__self__", None)
        if owner is None or isinstance(owner, (ModuleType, type)):
            return False
        if function.__name__ == _END_OF_BLOCK:
            return False
        return self._world.has(owner) or type(owner).__module__ not in _PLAIN_DATA
