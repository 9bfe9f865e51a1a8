"""Doing a verb to one run, or to many: asking first, and saying what came of it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from celery_graceful.cli.context import OpenApp, open_app
from celery_graceful.cli.exit_codes import Misuse, Refusal
from celery_graceful.cli.output import print_json, say, whom
from celery_graceful.model.run.verbs import DOES, Verb, rule_for
from celery_graceful.text.counting import counted

if TYPE_CHECKING:
    from celery_graceful.cli.operate.verb_commands import Wish
    from celery_graceful.runs.operating.bulk import Result
    from celery_graceful.runs.operating.changes import Change
    from celery_graceful.runs.plain_run import Run

#: Runs that are named in a question.
_NAMED = 5
#: Of a paused run, deleting asks first: it ends for those who wait.
_ASKS = (Verb.RELEASE,)


def change(ctx: click.Context, wish: Wish) -> None:
    """Do what was typed."""
    with open_app(ctx) as at:
        if wish.run_id is None:
            _many(ctx, at, wish)
        else:
            _one(at, wish, wish.run_id)


def _verb(wish: Wish) -> Verb:
    verb = Verb(wish.verb)
    return Verb.REWIND if verb is Verb.RETRY and "cursor" in wish.arguments else verb


# -- one run ---------------------------------------------------------------------------------


def _one(at: OpenApp, wish: Wish, run_id: str) -> None:
    from celery_graceful.cli.run_text import run_sentence
    from celery_graceful.views.runs import SCHEMA

    run = at.runs.get(run_id)
    whom(at, [run_sentence(run)])
    verb = _verb(wish)
    if verb in _ASKS or (verb is Verb.DELETE and not run.ended):
        _ask(wish, f"{DOES[verb]}?")
    done = _apply(at, wish, run, run_id)
    undo = _undo(at, done, at.full_name(run, run_id))
    for line in _lines(at, done, undo):
        say(line, err=True)
    if wish.as_json:
        print_json(SCHEMA, **_data(wish, done, undo))


def _apply(at: OpenApp, wish: Wish, run: Run, given: str) -> Change:
    from celery_graceful import errors

    try:
        return at.runs.apply(_verb(wish), str(run), reason=wish.reason, **wish.arguments)
    except errors.RunRefused as exc:
        if wish.arguments.get("items"):
            hint = f" List them: {at.line('show', at.full_name(run, given))}"
            raise Refusal(f"{exc}{hint}") from exc
        raise
    except (errors.CursorError, ValueError) as exc:
        raise Misuse(str(exc)) from exc


def _lines(at: OpenApp, done: Change, undo: str | None) -> list[str]:
    lines = [_outcome(done)]
    if done.before.state != done.run.state:
        lines.append(f"It was {done.before.state}, and is {done.run.state}.")
    if done.trouble:
        lines.append(f"But {done.trouble}.")
    if done.note:
        lines.append(f"Note: {done.note}.")
    if done.sent:
        lines.append(f"Follow it: {at.line('show', done.sent)}")
    if undo:
        lines.append(f"Undo: {undo}")
    elif not done.sent:
        lines.append("Nothing undoes this.")
    return lines


def _outcome(done: Change) -> str:
    from celery_graceful.model.run.verdict import Verdict

    if done.sent:
        return f"Sent: {done.why}."
    if done.verdict is Verdict.ASKED:
        return f"Asked: {_asked(done)} {done.why}." if "at its" in done.why else f"{done.why}."
    if done.verdict is Verdict.PUBLISH:
        generation = done.run.generation
        return f"Done: {done.why}, its message (generation {generation}) is in its queue."
    return f"Done: {done.why}."


def _asked(done: Change) -> str:
    return "it is adjusted" if done.undo is Verb.ADJUST else "it stops"


def _undo(at: OpenApp, done: Change, name: str) -> str | None:
    """The command that undoes the change."""
    if done.undo is None:
        return None
    if done.sent:
        return at.line(done.undo, done.sent)
    options = {"queue": "to-queue", "checkpoint_interval": "checkpoint-interval"}
    words = [name]
    for argument, value in done.undo_arguments.items():
        if value is not None:
            words += [f"--{options.get(argument, argument).replace('_', '-')}", f"{value}"]
    if done.undo is Verb.ADJUST and len(words) == 1:
        return None
    return at.line(done.undo, *words)


def _data(wish: Wish, done: Change, undo: str | None) -> dict[str, Any]:
    from celery_graceful.views.runs import change_as_data

    return change_as_data(wish.verb, done, undo)


# -- many runs -------------------------------------------------------------------------------


def _many(ctx: click.Context, at: OpenApp, wish: Wish) -> None:
    from celery_graceful.cli.show.filter_options import as_arguments, described
    from celery_graceful.views.runs import SCHEMA

    whom(at)
    verb = _verb(wish)
    found = list(at.runs.matching(**as_arguments(wish.filters)))
    fitting = [run for run in found if _applies(verb, run)]
    left = len(found) - len(fitting)
    if left:
        say(
            f"Left as they are: {counted(left, 'run')}, to which {wish.verb} does not apply.",
            err=True,
        )
    chosen = fitting[: wish.most]
    if not chosen:
        say(f"No run of {described(wish.filters)} to {wish.verb}.", err=True)
    else:
        _ask(wish, f"{wish.verb.capitalize()} {counted(len(chosen), 'run')}: {_names(chosen)}?")
    results = list(_each(at, wish, verb, chosen))
    refused = [each for each in results if each.change is None]
    done = len(results) - len(refused)
    say(f"{wish.verb}: done for {counted(done, 'run')}, refused for {len(refused)}.", err=True)
    if wish.as_json:
        data = [_result_as_data(at, wish, each) for each in results]
        print_json(SCHEMA, verb=wish.verb, results=data, left=left)
    if refused:
        ctx.exit(Refusal.exit_code)


def _applies(verb: Verb, run: Run) -> bool:
    """Whether it is worth asking for; the rest is left as it is."""
    rule = rule_for(verb, run.state, run.requested, quarantined=run.quarantined)
    return rule.legal


def _names(runs: Sequence[Run]) -> str:
    named = ", ".join(map(str, runs[:_NAMED]))
    more = len(runs) - _NAMED
    return f"{named} and {more} more" if more > 0 else named


def _each(at: OpenApp, wish: Wish, verb: Verb, runs: Sequence[Run]) -> Any:
    from celery_graceful.runs.operating.bulk import change_each

    # A run that has changed since it was listed is left alone, if it was chosen for its state.
    stale = bool(wish.filters.get("state"))

    def change(run: Run) -> Change:
        return at.runs.apply(
            verb,
            str(run),
            reason=wish.reason,
            expected_state=run.state if stale else None,
            **wish.arguments,
        )

    for result in change_each(iter(runs), change):
        say(_result_line(result), err=True)
        yield result


def _result_line(result: Result) -> str:
    done = result.change
    if done is None:
        return f"Refused: {result.refused}"
    trouble = f"; but {done.trouble}" if done.trouble else ""
    sent = f" ({done.sent})" if done.sent else ""
    before, after = done.before.state, done.run.state
    states = before if before == after else f"{before}, now {after}"
    return f"{result.run}: {states}: {done.why}{sent}{trouble}"


def _result_as_data(at: OpenApp, wish: Wish, result: Result) -> dict[str, Any]:
    if result.change is None:
        return {"run": str(result.run), "refused": result.refused}
    undo = _undo(at, result.change, str(result.run))
    return {**_data(wish, result.change, undo), "refused": None}


def _ask(wish: Wish, question: str) -> None:
    if wish.yes:
        return
    if not sys.stdin.isatty():
        raise Misuse(f"{question} This needs a yes: add --yes.")
    click.confirm(question, abort=True, err=True)
