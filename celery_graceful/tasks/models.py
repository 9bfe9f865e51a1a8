"""``pydantic=True`` on iterable tasks: arguments are validated, a model as result is dumped."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from celery_graceful._celery.models import Models, Options, options_in

if TYPE_CHECKING:
    from celery_graceful.tasks.written import RunTask

__all__ = ["models_of"]

#: Where a task's class keeps what :func:`models_of` has found.
_FOUND = "graceful_models"


def models_of(task: RunTask) -> Models | None:
    """What validates the task's arguments and dumps its result; ``None`` without ``pydantic``."""
    cls: Any = type(task)
    if _FOUND not in cls.__dict__:
        models = _models(task)
        setattr(cls, _FOUND, models)
        if models is not None and getattr(cls, "_dump_pydantic_arguments", None) is None:
            # As Celery's decorators do since 5.7, for models that a caller passes.
            cls._dump_pydantic_arguments = staticmethod(models.dump_arguments or _as_they_are)
    known: Models | None = cls.__dict__[_FOUND]
    return known


def _as_they_are(args: Any, kwargs: Any) -> tuple[Any, Any]:
    return args, kwargs


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
