"""Why a run does not move that some worker owns, or that was paused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery_graceful.model.run.reasons import StopReason
from celery_graceful.text.counting import counted
from celery_graceful.views.waiting.wording import command, held_words, moment, shown, start_worker

if TYPE_CHECKING:
    from celery_graceful.model.run.history import Action
    from celery_graceful.runs.plain_run import Run
    from celery_graceful.views.waiting.situation import Situation

#: An item that has run for so many seconds may never end.
_LONG = 60.0
_STOPS = {str(reason) for reason in StopReason} | {"retry"}


def running(run: Run, situation: Situation) -> str | None:
    """Of a run that an execution owns; ``None``: it moves."""
    worker = situation.worker(run.worker)
    if run.overdue:
        return _lost(run, situation)
    if run.requested:
        return _asked(run, situation)
    if worker is None:
        return None
    if worker.cut_off:
        return (
            f"its worker {shown(worker.hostname)} has not reached the store for a whole lease: it"
            " continues when the store answers there; else another worker resumes it"
        )
    if worker.stopping:
        return (
            f"its worker {shown(worker.hostname)} is stopping: it ends the item that it is at, and"
            " another worker continues"
        )
    holds = situation.holds_on(run.task, run.queue or "")
    if not worker.forced and holds and any(hold.interrupt for hold in holds):
        return f"{held_words(holds, situation)}; it stops after the item that it is at"
    return None


def _lost(run: Run, situation: Situation) -> str:
    owner = shown((run.worker or "").rpartition("/")[0] or run.worker or "its worker")
    what = f"its worker {owner} was lost, or does not reach the store: its lease has expired"
    holds = situation.holds_on(run.task, run.queue or "")
    if holds:
        return f"{what}; it is resumed when it is released: {held_words(holds, situation)}"
    if not any(worker.takes_runs for worker in situation.workers):
        return f"{what}; no worker is there to resume it: {start_worker(situation)}"
    return f"{what}; another worker resumes it within {2 * situation.lease:g} s"


def _asked(run: Run, situation: Situation) -> str:
    done = "pauses" if run.requested == "pause" else "is cancelled"
    last = run.checkpoint_at
    since = f", which began after {moment(last, run.now)}" if last else ""
    by = _by_whom(run, str(run.requested))
    asked = f" (asked{by})" if by else ""
    text = f"it {done} after the item that it is at{since}{asked}"
    if last and run.now - last > _LONG:
        release = command(situation, "release", run)
        return f"{text}; if that item never ends, release the run{release}"
    return text


def paused(run: Run, situation: Situation) -> str:
    """Of a run that waits until somebody resumes it."""
    return f"{_why_paused(run)}; resume it{command(situation, 'resume', run)}"


def _why_paused(run: Run) -> str:
    action = _last(run, "pause", "resume")
    if action is not None and action.verb == "pause":
        return f"paused{_by_whom(run, 'pause')}"
    if run.pause_after and run.steps == run.pause_after:
        return f"paused itself after {counted(run.pause_after, 'item')}, as asked at its start"
    reason = run.reason or ""
    if reason and reason not in _STOPS:
        return f"paused itself: {shown(reason.removesuffix(', and resume the run'), 400)}"
    return "paused by an operator"


def _by_whom(run: Run, verb: str) -> str:
    """Who asked for it last, and why; empty where nobody knows."""
    action = _last(run, verb)
    if action is None:
        return ""
    why = f': "{shown(action.reason)}"' if action.reason else ""
    return f" by {shown(action.who, 100)}{why}"


def _last(run: Run, *verbs: str) -> Action | None:
    actions = reversed(run.actions)
    return next((action for action in actions if action.verb in verbs), None)


def finishing(run: Run, situation: Situation) -> str:
    """Of a run whose items are done, and whose outcome the result backend does not have yet."""
    if not run.overdue and run.worker:
        return (
            "all its items are done, and its worker is storing the outcome in the result backend;"
            " if that takes long, see whether the result backend answers"
        )
    what = "all its items are done, and its worker was lost while it stored the outcome"
    if not any(worker.takes_runs for worker in situation.workers):
        return f"{what}; no worker is there to store it: {start_worker(situation)}"
    return f"{what}; another worker stores it within {2 * situation.lease:g} s"
