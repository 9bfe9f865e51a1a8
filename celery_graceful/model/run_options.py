"""What a run was asked when it was started by ``graceful.runs.start``; travels with the run."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields

from celery_graceful.text import strict_json

#: The most that options may take as text, in bytes: each write of the run's record has them.
MOST_TEXT = 64 * 1024
#: The most tags of a run, and the most characters of one.
MOST_TAGS, LONGEST_TAG = 20, 200


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
