"""The heart: one table of (state, event) that says what becomes of a run.

Pure functions of a record, an event and the store's time. A pair that is not in the table is
refused and changes nothing, so that a duplicate message or a late runner can do no harm. "Nothing
there" is an answer of its own: the owner of a run whose record vanished writes it back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from celery_graceful.model.run import admission, bystander, operators, runner
from celery_graceful.model.run import events as ev
from celery_graceful.model.run.history import Action, changed, with_action
from celery_graceful.model.run.record import Record, State, replace
from celery_graceful.model.run.verbs import public_state
from celery_graceful.model.run.verdict import Decision, Policy, gone, refuse

Rule = Callable[[Any, Any, float, Policy], Decision]


def decide(record: Record | None, event: ev.Event, now: float, policy: Policy) -> Decision:
    """What ``event`` does to ``record`` at ``now``, the store's time in seconds."""
    state = None if record is None else record.state
    rule = TABLE.get((state, type(event)))
    if record is None and rule is None:
        return gone("the store has no record of this run")
    fence = getattr(event, "fence", None)
    if record is not None and fence is not None and fence != record.fence:
        return refuse(f"fence {fence} was superseded by {record.fence}")
    if record is not None and isinstance(event, ev.OfOperator) and event.expected:
        there = public_state(record)
        if there != event.expected:
            return refuse(f"the run is {there} by now, and was to be {event.expected}")
    if rule is None:
        return refuse(f"{type(event).__name__.lower()} does not apply to a run that is {state}")
    decision = rule(record, event, now, policy)
    by = getattr(event, "by", None)
    return decision if by is None else _logged(decision, record, by)


def _logged(decision: Decision, before: Record | None, by: Action) -> Decision:
    """The same, with what the operator did in the log: it is written with the change, or not."""
    after = decision.record
    if after is None:
        return decision
    action = changed(by, _change(before, after, decision.why))
    return decision._replace(record=replace(after, actions=with_action(after.actions, action)))


def _change(before: Record | None, after: Record, why: str) -> str:
    if before is not None and before.state is after.state:
        return f"{_name(after)}: {why}"
    return f"{_name(before)} → {_name(after)}" if before else _name(after)


def _name(record: Record) -> str:
    return str(record.outcome if record.state is State.ENDED else record.state)


_S = State
TABLE: Mapping[tuple[State | None, type[ev.Event]], Rule] = {
    (None, ev.Admit): admission.start,
    (None, ev.Enqueue): admission.enqueue,
    (None, ev.Restore): runner.restore,
    (None, ev.Kill): bystander.kill_unknown,
    (_S.RUNNING, ev.Admit): admission.admit_running,
    (_S.INTERRUPTED, ev.Admit): admission.admit_pending,
    (_S.RETRYING, ev.Admit): admission.admit_pending,
    (_S.PAUSED, ev.Admit): admission.admit_paused,
    (_S.FINISHING, ev.Admit): admission.admit_finishing,
    (_S.ENDED, ev.Admit): admission.admit_ended,
    (_S.RUNNING, ev.HandOver): runner.hand_over,
    (_S.RUNNING, ev.Wait): runner.wait,
    (_S.RUNNING, ev.Finish): runner.finish,
    (_S.FINISHING, ev.Finish): runner.finish,  # of a run that fails for its crashes
    (_S.RUNNING, ev.End): runner.end,
    (_S.FINISHING, ev.End): runner.end,
    (_S.INTERRUPTED, ev.Reclaim): runner.reclaim,
    (_S.RUNNING, ev.Release): bystander.release,
    (_S.FINISHING, ev.Release): bystander.release,
    (_S.RUNNING, ev.Rescue): bystander.rescue,
    (_S.FINISHING, ev.Rescue): bystander.rescue,
    (_S.INTERRUPTED, ev.Rescue): bystander.rescue,
    (_S.RETRYING, ev.Rescue): bystander.rescue,
    (_S.INTERRUPTED, ev.MarkUnroutable): bystander.mark_unroutable,
    (_S.RETRYING, ev.MarkUnroutable): bystander.mark_unroutable,
    (_S.RUNNING, ev.Kill): bystander.kill,
    (_S.INTERRUPTED, ev.Kill): bystander.kill,
    (_S.RETRYING, ev.Kill): bystander.kill,
    (_S.PAUSED, ev.Kill): bystander.kill,
    (_S.FINISHING, ev.Kill): bystander.kill,
    (_S.RUNNING, ev.Cancel): operators.cancel_running,
    (_S.INTERRUPTED, ev.Cancel): operators.cancel_pending,
    (_S.RETRYING, ev.Cancel): operators.cancel_pending,
    (_S.PAUSED, ev.Cancel): operators.cancel_pending,
    (_S.RUNNING, ev.Pause): operators.pause_running,
    (_S.INTERRUPTED, ev.Pause): operators.pause_pending,
    (_S.RETRYING, ev.Pause): operators.pause_pending,
    (_S.PAUSED, ev.Resume): operators.resume_paused,
    (_S.RUNNING, ev.Resume): operators.resume_running,
    (_S.INTERRUPTED, ev.Resend): operators.resend,
    (_S.RETRYING, ev.Resend): operators.resend,
    (_S.PAUSED, ev.Retry): operators.retry_paused,
    (_S.ENDED, ev.Retry): operators.retry_ended,
    (_S.RUNNING, ev.NoteAdjusted): runner.note_adjusted,
    (_S.RUNNING, ev.Adjust): operators.adjust_running,
    (_S.INTERRUPTED, ev.Adjust): operators.adjust_pending,
    (_S.RETRYING, ev.Adjust): operators.adjust_pending,
    (_S.PAUSED, ev.Adjust): operators.adjust_paused,
    (_S.RUNNING, ev.Evict): operators.evict_running,
    (_S.FINISHING, ev.Evict): operators.evict_finishing,
    (_S.ENDED, ev.Forget): operators.forget,
    **{(state, ev.Replay): operators.replay for state in _S},
}
