"""What a run was asked at its start, and what operators adjust while it runs; kept with it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from celery_graceful.text import strict_json

#: The most that options may take as text, in bytes: each write of the run's record has them.
MOST_TEXT = 64 * 1024
#: The most tags of a run, and the most characters of one.
MOST_TAGS, LONGEST_TAG = 20, 200
#: The same of what is adjusted.
_MOST_ADJUSTED = 4096
_HIGHEST_PRIORITY = 255
_MOST_NAME = 255


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Options of one run; those of a task started by ``delay`` are all empty."""

    #: The key under which only one such run completes.
    once: str = ""
    #: Seconds for which it is known that the run of this key has completed.
    keep: float = 0.0
    #: Pause after so many items; 0: never.
    pause_after: int = 0
    #: End after so many items; 0: after the last one.
    limit: int = 0
    #: Nothing is to be changed by the items.
    dry_run: bool = False
    #: The encoded checkpoint behind which it begins; empty: at the beginning.
    cursor: str = ""
    #: Who has started it.
    by: str = ""
    #: Words to find it by.
    tags: tuple[str, ...] = ()

    def text(self) -> str:
        """What travels and is kept: only what is given."""
        given = {name: getattr(self, name) for name in _NAMES if getattr(self, name)}
        return json.dumps(given, separators=(",", ":"))


_NAMES = tuple(field.name for field in fields(RunOptions))
#: Those of a run that was asked nothing.
NO_OPTIONS = RunOptions()


def read_options(text: str) -> RunOptions:
    """The options in a text.

    Raises:
        ValueError: it is not what :meth:`RunOptions.text` writes.
    """
    if not text:
        return NO_OPTIONS
    strict_json.text(text, "the options", MOST_TEXT)
    data = strict_json.loads(text, MOST_TEXT)
    if not isinstance(data, dict):
        raise ValueError("the options of a run are not a JSON object")
    return RunOptions(
        once=strict_json.text(data.get("once", ""), "once"),
        keep=strict_json.number(data.get("keep", 0.0), "keep"),
        pause_after=strict_json.whole(data.get("pause_after", 0), "pause_after"),
        limit=strict_json.whole(data.get("limit", 0), "limit"),
        dry_run=strict_json.flag(data.get("dry_run", False), "dry_run"),
        cursor=strict_json.text(data.get("cursor", ""), "cursor"),
        by=strict_json.text(data.get("by", ""), "by"),
        tags=checked_tags(data.get("tags", ())),
    )


def checked_tags(value: object) -> tuple[str, ...]:
    """Tags without repetitions, in their order.

    Raises:
        ValueError: They are not a few short texts; the message says why.
    """
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"tags: {value!r:.100} is not a list of texts")
    for tag in value:
        if not isinstance(tag, str) or not tag.strip():
            raise ValueError(f"tags: {tag!r:.100} is not a text")
        if len(tag) > LONGEST_TAG:
            raise ValueError(
                f"tags: {tag[:20]!r}… has {len(tag)} characters; at most {LONGEST_TAG} are allowed"
            )
    if len(value) > MOST_TAGS:
        raise ValueError(f"tags: {len(value)} are too many; at most {MOST_TAGS} are allowed")
    return tuple(dict.fromkeys(value))


def readable_options(text: str) -> RunOptions:
    """The same; none where they cannot be read, as a stranger may have written them."""
    try:
        return read_options(text)
    except ValueError:
        return NO_OPTIONS


@dataclass(frozen=True, slots=True)
class Adjustments:
    """What is in force instead of the task's options and the message's own way.

    Operators change it while the run is under way.
    """

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
        data = strict_json.loads(text, _MOST_ADJUSTED)
        return Adjustments().with_changes(data)
    except (ValueError, TypeError, AttributeError):
        return Adjustments()
