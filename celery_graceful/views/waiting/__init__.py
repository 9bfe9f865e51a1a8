"""Why a run does not move, in one sentence with what would move it.

``situation_of`` reads what is known around all runs; ``why_not_moving`` is a pure function of a run
and that. What others wrote is in it as one line of printable characters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from celery_graceful.views.waiting.pending import pending
from celery_graceful.views.waiting.situation import Situation as Situation
from celery_graceful.views.waiting.situation import situation_of as situation_of
from celery_graceful.views.waiting.stopped import finishing, paused, running
from celery_graceful.views.waiting.wording import moment, shown

if TYPE_CHECKING:
    from celery_graceful.runs.plain_run import Run
    from celery_graceful.runtime import Runtime


def why_not_moving(run: Run, situation: Situation) -> str | None:
    """Why a run does not move; ``None``: it moves, or it has ended."""
    if run.ended:
        return None
    return _BY_STATE.get(run.state, _other)(run, situation)


def whys(runtime: Runtime, runs: Iterable[Run], *, command: str = "") -> list[str | None]:
    """The same for several runs, with one reading of the situation; none where no run needs it.

    Args:
        runs: what to explain.
        command: how the app's commands begin, to name them: ``celery -A proj graceful``.

    Raises:
        StoreUnavailable: the store did not answer.
    """
    listed = list(runs)
    if all(run.ended for run in listed):
        return [None] * len(listed)
    situation = situation_of(runtime, listed, command=command)
    return [why_not_moving(run, situation) for run in listed]


def _other(run: Run, situation: Situation) -> str:
    """A state that a later version added."""
    until = "" if run.until is None else f" until {moment(run.until, run.now)}"
    reason = f": {shown(run.reason)}" if run.reason else ""
    return f"it is {shown(run.state, 50)}{until}{reason}"


_BY_STATE: Mapping[str, Callable[[Run, Situation], str | None]] = {
    "queued": pending,
    "interrupted": pending,
    "retrying": pending,
    "running": running,
    "paused": paused,
    "finishing": finishing,
}
