"""The tasks that a run has started, kept over its executions for ``AsyncResult.children``.

Celery stores the children of the execution that brings the result; each execution has its own list.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from typing import Any

from celery.result import result_from_tuple

logger = logging.getLogger("celery_graceful.runs")

#: The most that the children of earlier executions may take, in characters; about 200 ids.
MOST = 8 * 1024
#: The header of a continuation by hand.
HEADER = "graceful_children"


class Children:
    """The children of an execution, and of those before it.

    Args:
        request: the execution's request, whose list Celery stores with the result.
        app: the app of the results.
    """

    def __init__(self, request: Any, app: Any) -> None:
        self._request = request
        self._app = app
        self._restored = 0
        self._texts: list[str] = []
        self._seen = self._size = 0

    def restore(self, saved: Iterable[str]) -> None:
        """Put those of earlier executions before the execution's own, as long as it has none."""
        children: list[Any] = self._request.children
        if len(children) != self._restored:
            return
        found = [self._read(text) for text in saved if isinstance(text, str)]
        children[:] = [child for child in found if child is not None]
        self._restored = len(children)
        self._texts, self._seen, self._size = [], 0, 0

    def to_save(self) -> tuple[str, ...]:
        """What a checkpoint keeps of them: the first ones, up to :data:`MOST` characters."""
        started = self._request._children
        if started is not None and self._seen < len(started):
            new = started[self._seen :] if self._size < MOST else ()
            self._seen = len(started)
            for child in new:
                self._keep(_as_text(child))
        return tuple(self._texts)

    def _keep(self, text: str | None) -> None:
        if text is not None and self._size + len(text) <= MOST:
            self._size += len(text)
            self._texts.append(text)

    def _read(self, text: str) -> Any:
        known = ((text, None), None)
        try:
            if text.startswith("["):
                known = json.loads(text)
            return result_from_tuple(known, self._app)
        except (ValueError, TypeError, RecursionError) as exc:  # of a damaged record
            logger.warning("A child of a run cannot be read and is left out: %.200r: %r", text, exc)
            return None


def _as_text(result: Any) -> str | None:
    """One child: its id if that is all there is, else what Celery makes of it, as JSON."""
    try:
        known = result.as_tuple()
        (task_id, parent), children = known
        plain = isinstance(task_id, str) and not task_id.startswith("[")
        if plain and parent is None and children is None:
            return str(task_id)
        return json.dumps(known, separators=(",", ":"))
    except (AttributeError, TypeError, ValueError):  # no result: Celery raises at the end
        return None
