"""``pydantic=True`` on iterable tasks: arguments are validated, a model as result is dumped."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from celery_graceful._celery.task.pydantic_models import Models, Options, options_in

if TYPE_CHECKING:
    from celery_graceful.execution.written import RunTask

#: What :func:`models_of` has found, by the class of the task.
_found: WeakKeyDictionary[type, Models | None] = WeakKeyDictionary()


def models_of(task: RunTask) -> Models | None:
    """What validates the task's arguments and dumps its result; ``None`` without ``pydantic``."""
    cls = type(task)
    if cls not in _found:
        _found[cls] = _models(task)
    return _found[cls]


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
