"""What the documentation repeats from the code, written as the documentation has it."""

from __future__ import annotations

from celery_graceful.cli import graceful
from celery_graceful.doctor.checks import ALL
from celery_graceful.model.run import events as ev
from celery_graceful.model.run.decide import TABLE
from celery_graceful.model.run.record import State
from celery_graceful.model.run.verbs import VERBS, Case, Rule, Verb
from celery_graceful.settings import SETTINGS

#: The events in the order of a run's life.
_EVENTS: tuple[type[ev.Event], ...] = (
    *(ev.Admit, ev.Enqueue, ev.HandOver, ev.Wait, ev.Reclaim, ev.Finish, ev.End, ev.Restore),
    *(ev.Release, ev.Rescue, ev.MarkUnroutable, ev.Kill, ev.NoteAdjusted),
    *(ev.Pause, ev.Resume, ev.Cancel, ev.Resend),
    *(ev.Retry, ev.Adjust, ev.Evict, ev.Replay, ev.Forget),
)


def transitions() -> str:
    """The table of (event, state) in Markdown: the rule that decides, or a dash.

    A dash means *gone* where there is no record, and *refused* elsewhere.
    """
    assert {event for _, event in TABLE} == set(_EVENTS)
    states = (None, *State)
    heads = ["event", *("(no record)" if s is None else f"`{s}`" for s in states)]
    lines = [_row(heads), "|---" * len(heads) + "|"]
    for event in _EVENTS:
        rules = (TABLE.get((state, event)) for state in states)
        cells = ["–" if rule is None else f"`{rule.__name__}`" for rule in rules]
        lines.append(_row([f"**{event.__name__}**", *cells]))
    return "\n".join(lines) + "\n"


def verbs() -> str:
    """The table of (verb, case) in Markdown: the verb that undoes it, ``yes``, or a dash."""
    lines = [_row(["verb", *(f"`{case}`" for case in Case)]), "|---" * (len(Case) + 1) + "|"]
    for verb in Verb:
        name = "**retry --from**" if verb is Verb.REWIND else f"**{verb}**"
        lines.append(_row([name, *(_cell(VERBS[verb, case]) for case in Case)]))
    return "\n".join(lines) + "\n"


def settings() -> str:
    """The table of all settings in Markdown."""
    lines = ["| Setting | Default | Expected | Meaning |", "|---|---|---|---|"]
    for line in SETTINGS.values():
        cells = (f"`{line.name}`", line.default_text, line.expected, line.meaning)
        lines.append(_row([cell.replace("|", r"\|") for cell in cells]))
    return "\n".join(lines) + "\n"


def checks() -> str:
    """Every check with what it finds, why it hurts, and what fixes it."""
    lines = ["| id | | finds | why it hurts | fix |", "|---|---|---|---|---|"]
    for check in ALL:
        cells = (check.id, check.severity.word, check.about, check.why, check.fix)
        lines.append(_row([cell.replace("|", r"\|") for cell in cells]))
    return "\n".join(lines) + "\n"


def _cell(rule: Rule) -> str:
    if not rule.legal:
        return "–"
    return "yes" if rule.undo is None else f"`{rule.undo}`"


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def options_of(command: str) -> list[str]:
    """The long options of one of ``graceful``'s commands."""
    import click

    found = graceful.get_command(click.Context(graceful), command)
    assert found is not None
    return [
        option
        for parameter in found.params
        if isinstance(parameter, click.Option)
        for option in parameter.opts
        if option.startswith("--")
    ]
