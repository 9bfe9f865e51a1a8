"""The message of a failed trial: where, what differed, each execution, and what to check."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from celery_graceful.errors import CursorError, TransactionError
from celery_graceful.model.run.cursor import decode
from celery_graceful.testing.seen_items import Seen, mark
from celery_graceful.testing.staged_execution import How, Stage
from celery_graceful.text.counting import counted

#: Items shown of a longer row.
SHOWN = 6

LEFT_BEHIND = (
    "what a run leaves behind for the next: give `reset=` to restore the world before each run, "
    "and `ignore=` for what differs at each run, such as times."
)


class Difference(NamedTuple):
    """One thing that is not as in the undisturbed run."""

    what: str
    wanted: str
    got: str
    hint: str


def describe(
    title: str, found: Sequence[Difference], executions: Sequence[Stage], changed: Collection[str]
) -> str:
    """The message of a failure."""
    lines = [title, ""]
    for difference in found:
        lines += [
            f"  {difference.what}:",
            f"    undisturbed:  {difference.wanted}",
            f"    here:         {difference.got}",
        ]
    lines += [
        "",
        *(f"  execution {i}: {_story(execution)}" for i, execution in enumerate(executions, 1)),
    ]
    if changed:
        names = ", ".join(sorted(changed))
        lines.append(f"  forgotten before each execution, as by a new process: {names}")
    lines += ["", *(f"Look at: {hint}" for hint in dict.fromkeys(d.hint for d in found if d.hint))]
    return "\n".join(lines)


def _story(execution: Stage) -> str:
    began = (
        "from the beginning"
        if execution.start is None
        else f"after cursor {_cursor(execution.start)}"
    )
    items = counted(len(execution.seen), "item")
    if execution.seen:
        items += f" ({_row(execution.seen)})"
    if execution.endless:
        return f"{began}, {items}, ended by the test, it seemed to have no end"
    if execution.how is How.FAILED:
        return f"{began}, {items}, failed with {type(execution.error).__name__}"
    saved = "nothing" if execution.saved is None else f"cursor {_cursor(execution.saved)}"
    return f"{began}, {items}, {(execution.how or How.FAILED).value}; {saved} was saved"


def _cursor(checkpoint: str) -> str:
    return mark(decode(checkpoint).cursor)


def _row(seen: Sequence[Seen]) -> str:
    if not seen:
        return "no item"
    shown = [str(one) for one in seen]
    if len(shown) > SHOWN:
        shown[SHOWN - 2 : -1] = [f"… {len(shown) - SHOWN + 1} more …"]
    return ", ".join(shown)


# -- items -----------------------------------------------------------------------------------


def items_differ(wanted: Sequence[Seen], place: int, execution: Stage) -> Difference | None:
    """What is wrong with the items an execution did, when ``place`` items lay before it.

    ``wanted`` are those of the whole undisturbed run.
    """
    rest = wanted[place:]
    ended = execution.how is How.FINISHED
    if execution.seen == list(rest if ended else rest[: len(execution.seen)]) and (
        ended or not execution.endless
    ):
        return None
    return Difference(
        f"items of the execution that continues after {place} of {len(wanted)}",
        _row(rest),
        _row(execution.seen),
        _items_hint(wanted, place, execution.seen),
    )


def _items_hint(wanted: Sequence[Seen], place: int, got: Sequence[Seen]) -> str:
    rest = wanted[place:]
    before = wanted[place - 1] if place else None
    if place and before is not None and len(wanted) > 1 and _still(wanted, place):
        return (
            "the cursor, which did not change before the interruption: items that share one run "
            "again or are lost. Give each item a cursor of its own; if items may run again, pass "
            "coarse_cursor=True."
        )
    if sorted(map(_name, got)) == sorted(map(_name, rest)):
        return "the order of the items, which must be the same in each execution: use a unique key."
    if place > 1 and got and got[0] == wanted[0]:
        return (
            "whether the cursor reaches the source: the execution began at the first item again. "
            "It is passed as the argument `cursor`."
        )
    if place == 1 and got and got[0] == wanted[0]:
        return (
            "the cursor: the item it names ran again. Either it does not reach the source, or it "
            "is taken as inclusive; a cursor means that everything up to and including it is done."
        )
    if got and before is not None and _alike(got[0], before):
        return (
            "an inclusive cursor: the item that it names ran again. A cursor means that everything "
            "up to and including it is done; begin after it (`> cursor`, `cursor + 1`)."
        )
    if (len(rest) > 1 and got and _alike(got[0], rest[1])) or (rest and not got):
        return (
            "a cursor that goes too far: the item after it was skipped. A cursor is that of the "
            "last item done, and the source begins right after it; only one of them adds one."
        )
    return (
        "how the source finds its place from the cursor alone: which items come, and in which "
        "order, must not depend on anything else."
    )


def _still(wanted: Sequence[Seen], place: int) -> bool:
    return place > 1 and wanted[place - 1].cursor == wanted[place - 2].cursor


def _alike(one: Seen, other: Seen) -> bool:
    return _name(one) == _name(other)


def _name(one: Seen) -> str:
    return one.cursor if one.item is None else one.item


# -- everything else -------------------------------------------------------------------------


def advice(part: str, how: How | None, changed: Collection[str]) -> str:
    """What to check when ``part`` differs after executions that ended like ``how``."""
    if how is None:
        return LEFT_BEHIND
    if part == "error":
        return (
            "what only the first execution sets up: on_start is not called again. Set up in "
            "build_enumerator, at the beginning of the generator, or in on_resume as well."
        )
    if how is How.TERMINATED:
        return "the place where self.carry is changed: do it last, when the item's work is done."
    if changed and part in ("result", "carry"):
        return (
            f"{', '.join(sorted(changed))}: a new process does not have it. Keep what a later "
            "execution needs in self.carry."
        )
    if part == "result":
        return (
            "what the result is made of: variables hold what this execution did, self.carry what "
            "all executions did."
        )
    if part == "carry":
        return "when self.carry is changed: in the item's own turn, before its cursor is yielded."
    if part == "outcome" and how is not How.STOPPED and changed:
        return (
            f"{', '.join(sorted(changed))}: it dies with its process, and so do effects that wait "
            "in it. Finish an item, buffers included, in its own turn."
        )
    if part == "outcome" and how is not How.STOPPED:
        return (
            "effects that are repeated: items since the last saved checkpoint run again after a "
            "crash. Make them upserts, or give them a key; else leave crashes out: crashes=False."
        )
    return (
        "work that is not done yet when the cursor is yielded: finish an item, buffers included, "
        "before the yield."
    )


def error_hint(error: BaseException | None, changed: Collection[str]) -> str:
    """What to check when an execution raised."""
    if isinstance(error, CursorError):
        return "the cursors and the carry: each has to come back equal and of the same type."
    if isinstance(error, TransactionError):
        return (
            "the transaction that is open at the yield, or when each_iteration returns: commit "
            "before it, or use the option atomic."
        )
    if changed:
        names = ", ".join(sorted(changed))
        return f"{advice('error', How.STOPPED, ())} A new process does not have {names}."
    return advice("error", How.STOPPED, ())


def differ(part: str, wanted: Any, got: Any, hint: str) -> Difference | None:
    """A difference between two values, unless they are equal."""
    try:
        if type(wanted) is type(got) and bool(wanted == got):
            return None
    except ValueError:  # arrays, which are not simply equal
        if mark(wanted) == mark(got):
            return None
    return Difference(part, f"{wanted!r:.400}", f"{got!r:.400}", hint)
