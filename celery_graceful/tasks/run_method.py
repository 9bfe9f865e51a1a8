"""The ``run`` of each task class: it executes the run, and has the signature of the written body.

Other packages ask ``inspect.signature(task.run)`` which arguments a task takes.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from inspect import Parameter, Signature
from typing import TYPE_CHECKING, Any

from celery_graceful._celery.task.delivery import Left, Returned, delivery_of
from celery_graceful.execution.execute import execute
from celery_graceful.execution.loop.current import current_execution

if TYPE_CHECKING:
    from celery_graceful.execution.run_task import RunTask

_CURSOR = Parameter("cursor", Parameter.KEYWORD_ONLY, default=None)
_TASK = Parameter("task", Parameter.POSITIONAL_ONLY)


class RunMethod:
    """What a task class has as ``run``; read from a task, it is a function without ``self``.

    Not a method: whoever wraps one (Celery's autoretry, Sentry) takes over its function's
    signature, ``self`` included.

    Args:
        cls: the class.
        body: its generator, as it stands in the class; ``None`` for one with ``build_enumerator``.
    """

    def __init__(self, cls: type[RunTask], body: Any) -> None:
        self.source = cls.build_enumerator if body is None else body
        self._body = body
        self.signature = _of_class(cls) if body is None else _of_generator(body)
        self._unbound = self._make(self._run, self.signature)
        self._bound = None if self.signature is None else _without_first(self.signature)

    def __get__(self, task: Any, cls: Any = None) -> Callable[..., Any]:
        if task is None:
            return self._unbound
        return self._make(partial(self._run, task), self._bound)

    @staticmethod
    def _make(call: Callable[..., Any], signature: Signature | None) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            """Execute the run as far as this delivery gets."""
            return call(*args, **kwargs)

        if signature is not None:
            vars(run)["__signature__"] = signature
        return run

    def _run(self, task: Any, /, *args: Any, **kwargs: Any) -> Any:
        if self._body is not None and self._is_called_by_super(task):
            return self._body.__get__(task, type(task))(*args, **kwargs)
        try:
            return execute(task, args, kwargs)
        except (Left, Returned) as way_out:
            # Not through a ``__call__`` of the app or the project, which might swallow it.
            delivery = delivery_of(task.request)
            if delivery is None:
                raise
            delivery.way_out = way_out
            return None

    def _is_called_by_super(self, task: Any) -> bool:
        """Whether the generator of a subclass, which is being iterated, wants its parent's."""
        if inspect.getattr_static(type(task), "run") is self:
            return False
        execution = current_execution.get()
        return execution is not None and execution.task is task

    def header(self) -> Any:
        """What Celery calls with a caller's arguments: raises ``TypeError`` if they do not fit."""
        bound = self._bound

        def check(*args: Any, **kwargs: Any) -> None:
            if bound is not None:
                bound.bind(*args, **kwargs)

        return staticmethod(check)


def _of_generator(body: Any) -> Signature | None:
    signature = _signature(getattr(body, "__func__", body))
    if signature is None or inspect.isfunction(body):
        return signature
    return _with_task(signature)  # of a staticmethod, as Celery's decorators make it


def _of_class(cls: type[RunTask]) -> Signature | None:
    """That of ``build_enumerator``, with ``cursor`` as an option of the caller."""
    signature = _signature(cls.build_enumerator)
    if signature is None:
        return None
    if not inspect.isfunction(inspect.getattr_static(cls, "build_enumerator")):
        signature = _with_task(signature)
    parameters = [p for p in signature.parameters.values() if p.name != "cursor"]
    if len(parameters) < len(signature.parameters):
        rest = [p for p in parameters if p.kind is Parameter.VAR_KEYWORD]
        parameters = [*parameters[: len(parameters) - len(rest)], _CURSOR, *rest]
    return signature.replace(parameters=parameters)


def _without_first(signature: Signature) -> Signature:
    return signature.replace(parameters=list(signature.parameters.values())[1:])


def _with_task(signature: Signature) -> Signature:
    name = _TASK.name
    while name in signature.parameters:
        name = f"_{name}"
    first = _TASK.replace(name=name)
    return signature.replace(parameters=[first, *signature.parameters.values()])


def _signature(function: Any) -> Signature | None:
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):  # of a callable that has none
        return None
