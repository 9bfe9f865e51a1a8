"""Checkpoints as text: cursor, carry and count, coming back equal and of the same type."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from celery_graceful.errors import CursorError
from celery_graceful.model.typed_values import from_plain, shown, to_plain, type_name
from celery_graceful.text import strict_json

#: The most an encoded checkpoint may take, in bytes.
MAX_BYTES = 64 * 1024
#: The most that it may take for the run's children to be kept in it: what a message carries.
MAX_WITH_CHILDREN = 32 * 1024
_dumps = json.JSONEncoder(separators=(",", ":"), ensure_ascii=True).encode
#: A history of items' times holds fewer than this, and its scale has fewer steps.
MOST_IN_PACE = 100_000
_CODE = re.compile(r"[0-9a-z.-]{0,40}")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far a run has come: everything up to and including ``cursor`` is done."""

    cursor: Any = None
    carry: dict[str, Any] = field(default_factory=dict)
    #: Items done since the run began.
    steps: int = 0
    #: Items in all, as counted at the start, or ``None``.
    total: int | None = None
    #: The cursor of the item that may have run already, or ``None``.
    in_doubt: Any = None
    #: Items quarantined since the run began.
    errors: int = 0
    #: How long items take (see :class:`.Pace`); empty when negligible.
    pace: tuple[tuple[int, int], ...] = ()
    #: Items per batch, where batches had to become smaller; else 0.
    batch: int = 0
    #: The tasks that the run has started, as text; left out where there is no room for them.
    children: tuple[str, ...] = ()
    #: The version of the cursor and carry, as the task's code counts it (``cursor_version``).
    version: int = 1
    #: What names the code of the task that did the last items; empty where nobody knows.
    code: str = field(default="", compare=False)
    #: When it was made, in Unix seconds; 0: nobody needs to know. And an earlier moment of the same
    #: execution, about a minute before, with the items done by then: how fast it is.
    at: float = field(default=0.0, compare=False)
    sampled_at: float = field(default=0.0, compare=False)
    sampled_steps: int = field(default=0, compare=False)


def encode(checkpoint: Checkpoint) -> str:
    """Turn a checkpoint into text.

    Raises:
        CursorError: a part would not come back equal and of the same type, or the whole takes
            more than :data:`MAX_BYTES`. The message names the part.
    """
    carry = checkpoint.carry
    if type(carry) is not dict:
        raise CursorError(f"carry must be a dict, not {type_name(carry)}: {shown(carry)}")
    if not _is_count(checkpoint.total):
        raise CursorError(f"count() must return an int or None, not {shown(checkpoint.total)}")
    if not carry and _is_small(checkpoint.cursor) and _has_no_more(checkpoint):
        # As most are, and as it would be written below: a short task pays for two.
        total = "null" if checkpoint.total is None else checkpoint.total
        rest = f'"carry":{{}},"steps":{checkpoint.steps},"total":{total}{_code(checkpoint)}'
        return f'{{"cursor":{checkpoint.cursor},{rest}}}'
    data = {
        "cursor": to_plain(checkpoint.cursor, "cursor"),
        "carry": to_plain(carry, "carry"),
        "steps": checkpoint.steps,
        "total": checkpoint.total,
    }
    if checkpoint.in_doubt is not None:
        data["in_doubt"] = to_plain(checkpoint.in_doubt, "the next cursor")
    if checkpoint.errors:
        data["errors"] = checkpoint.errors
    if checkpoint.pace:
        data["pace"] = checkpoint.pace
    if checkpoint.batch:
        data["batch"] = checkpoint.batch
    if checkpoint.version != 1:
        data["version"] = checkpoint.version
    if checkpoint.code:
        data["code"] = checkpoint.code
    if checkpoint.at:
        data["at"] = _sample(checkpoint)
    try:
        text = _dumps(data)
        if checkpoint.children:
            text = _with_children(text, data, checkpoint.children)
    except ValueError as exc:
        raise CursorError(f"the cursor or carry cannot be written as JSON: {exc}") from exc
    if len(text) > MAX_BYTES:
        raise CursorError(
            f"cursor and carry take {len(text)} bytes, at most {MAX_BYTES} are allowed: "
            f"{_sizes(data)}. Keep large data in a database and only its key in the checkpoint."
        )
    return text


def _code(checkpoint: Checkpoint) -> str:
    """The fields that say which code wrote it, and when."""
    version = "" if checkpoint.version == 1 else f',"version":{checkpoint.version}'
    code = f'{version},"code":"{checkpoint.code}"' if checkpoint.code else version
    return f'{code},"at":{_dumps(_sample(checkpoint))}' if checkpoint.at else code


def _sample(checkpoint: Checkpoint) -> list[float]:
    """When, how many seconds before that the sample was taken, and the items done by then."""
    at = round(checkpoint.at, 3)
    return [at, round(max(0.0, at - checkpoint.sampled_at), 3), checkpoint.sampled_steps]


def _with_children(text: str, data: Mapping[str, Any], children: tuple[str, ...]) -> str:
    """The same with the children, if a message can still carry it."""
    longer = _dumps({**data, "children": children})
    return longer if len(longer) <= MAX_WITH_CHILDREN else text


def decode(text: str) -> Checkpoint:
    """Turn what :func:`encode` wrote back into a checkpoint.

    Raises:
        CursorError: the text was not written by :func:`encode`.
    """
    try:
        data = _loads(text)
        carry, steps, total = from_plain(data["carry"]), data["steps"], data["total"]
        if type(carry) is not dict or not _is_count(total):
            raise TypeError("carry or total is of a wrong type")
        strict_json.whole(steps, "steps")
        in_doubt, errors = from_plain(data.get("in_doubt")), data.get("errors", 0)
        pace, batch = _read_pace(data.get("pace", ())), data.get("batch", 0)
        strict_json.whole(errors, "errors")
        strict_json.whole(batch, "batch")
        children = _read_children(data.get("children", ()))
        version, code = data.get("version", 1), data.get("code", "")
        strict_json.whole(version, "version", 1)
        if type(code) is not str or _CODE.fullmatch(code) is None:
            raise TypeError("code is no name of a task's code")
        return Checkpoint(
            from_plain(data["cursor"]),
            carry,
            steps,
            total,
            in_doubt,
            errors,
            pace,
            batch,
            children,
            version,
            code,
            *_read_sample(data.get("at")),
        )
    except (
        ValueError,
        LookupError,
        TypeError,
        ArithmeticError,
        AttributeError,
        RecursionError,
        OSError,  # of a time zone that is a folder of the tzdata package
    ) as exc:
        raise CursorError(
            f"the saved checkpoint cannot be read ({exc!r}): {text[:200]!r}. Was it written by "
            "another version of celery-graceful, or changed by hand?"
        ) from exc


def _read_pace(pairs: Any) -> tuple[tuple[int, int], ...]:
    pace = tuple((step, items) for step, items in pairs)
    for pair in pace:
        for number in pair:
            strict_json.whole(number, "pace", 0, MOST_IN_PACE)
    return pace


def _read_sample(sample: Any) -> tuple[float, float, int]:
    if sample is None:
        return 0.0, 0.0, 0
    at, before, steps = sample
    strict_json.number(at, "at")
    strict_json.number(before, "at", 0.0, at)
    return float(at), float(at - before), strict_json.whole(steps, "at")


def _read_children(texts: Any) -> tuple[str, ...]:
    if type(texts) not in (list, tuple) or not all(type(text) is str for text in texts):
        raise TypeError("children are not a list of texts")
    return tuple(texts)


#: Its digits may be as many as those of a cursor, so it is not read by :mod:`strict_json`.
_loads = json.JSONDecoder(
    object_pairs_hook=strict_json.pairs,
    parse_float=strict_json.finite,
    parse_constant=strict_json.constant,
).decode


def _is_small(value: object) -> bool:
    return type(value) is int and -strict_json.MOST <= value <= strict_json.MOST


def _has_no_more(checkpoint: Checkpoint) -> bool:
    c = checkpoint
    return c.in_doubt is None and not (c.errors or c.pace or c.batch or c.children)


def _sizes(data: Mapping[str, Any]) -> str:
    return ", ".join(f"{k} {len(json.dumps(data[k]))}" for k in ("cursor", "carry"))


def _is_count(value: object) -> bool:
    return value is None or _is_small(value)
