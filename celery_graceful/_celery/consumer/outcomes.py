"""What became of a request, as the main process finds out."""

from __future__ import annotations

import re
from typing import Any

from celery.worker import state as _typed_state

state: Any = _typed_state


#: In the words of billiard, whose error tells it in no other way.
_ENDED_BY = re.compile(r"signal \d+(?: \(\w+\))?|exitcode -?\d+")


def stored_state(request: Any) -> str | None:
    """What the result backend says of a request's task; ``None`` where it says nothing.

    May raise what the result backend raises.
    """
    backend = request.task.backend
    if request.ignore_result or backend.as_uri() in ("rpc://", "disabled://"):
        return None  # never written, or not to be read here
    return str(backend.get_task_meta(request.id, cache=False)["status"])


def acks_on_timeout(task: Any) -> bool:
    """Whether a hard time limit ends a task; else its message is to be delivered again.

    Celery has ``acks_on_timeout`` since 5.7, and ``acks_on_failure_or_timeout`` before.
    """
    own = getattr(task, "acks_on_timeout", None)
    if own is None:
        own = getattr(task, "acks_on_failure_or_timeout", None)
    return True if own is None else bool(own)


def how_it_died(exc: BaseException) -> str:
    """How a child died: its signal or exit code, as far as is known."""
    found = _ENDED_BY.search(str(exc))
    return found.group() if found else f"{type(exc).__name__}: {exc}"[:200]


def is_stopping() -> bool:
    """Whether a signal stops this process's worker."""
    wishes = (state.should_stop, state.should_terminate)  # exit codes, 0 among them
    return any(wish is not None and wish is not False for wish in wishes)
