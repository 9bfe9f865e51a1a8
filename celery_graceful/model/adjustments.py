"""What operators adjust of a run while it is under way; kept with its record."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import Any

from celery_graceful.text import strict_json

#: Longer than this no such text is.
MOST_TEXT = 4096
_HIGHEST_PRIORITY = 255
_MOST_NAME = 255


@dataclass(frozen=True, slots=True)
class Adjustments:
    """What is in force instead of the task's options and the message's own way."""

    #: Seconds between two checkpoints; 0: as the task says.
    checkpoint_interval: float = 0.0
    #: Items in a batch; 0: as the source says.
    batch_size: int = 0
    #: Where its next messages go; empty: where they went.
    queue: str = ""
    #: Of its next messages; ``None``: as before.
    priority: int | None = None

    def text(self) -> str:
        """As it is kept: only what is adjusted; empty if nothing is."""
        given = {name: value for name, value in asdict(self).items() if value not in (0, "", None)}
        if self.priority is not None:
            given["priority"] = self.priority
        return json.dumps(given, separators=(",", ":")) if given else ""

    def with_changes(self, changes: dict[str, Any]) -> Adjustments:
        """The same with other values for some names.

        Raises:
            ValueError: a value cannot be what it is; the message says which and why.
            TypeError: there is nothing of that name to adjust.
        """
        if unknown := sorted(changes.keys() - asdict(self).keys()):
            known = ", ".join(asdict(self))
            raise TypeError(f"adjust has no argument {unknown[0]!r}; it has {known}")
        return _checked(replace(self, **changes))


def _checked(given: Adjustments) -> Adjustments:
    interval, size, priority = given.checkpoint_interval, given.batch_size, given.priority
    if not 0 <= interval < 1e9:
        raise ValueError(f"checkpoint_interval: {interval!r} is no number of seconds")
    if type(size) is not int or not 0 <= size < 2**31:
        raise ValueError(f"batch_size: {size!r} is no number of items")
    if not isinstance(given.queue, str) or len(given.queue.encode("utf-8", "replace")) > _MOST_NAME:
        raise ValueError(f"queue: {given.queue!r:.100} is no name of a queue")
    if priority is not None and (type(priority) is not int or not 0 <= priority <= 255):
        raise ValueError(f"priority: {priority!r} is none; write 0 to {_HIGHEST_PRIORITY}")
    return given


def read_adjustments(text: str) -> Adjustments:
    """The adjustments in a text; none where it cannot be read: that must not stop a run."""
    if not text:
        return Adjustments()
    try:
        data = strict_json.loads(text, MOST_TEXT)
        return Adjustments().with_changes(data)
    except (ValueError, TypeError, AttributeError):
        return Adjustments()
