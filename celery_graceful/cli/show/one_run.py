"""``graceful show``: everything about one run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from celery_graceful.cli.context import OpenApp, open_app
from celery_graceful.cli.options import json_option
from celery_graceful.cli.output import print_json, print_pairs, print_table, say

if TYPE_CHECKING:
    from celery_graceful.cli.show.one_run_text import Table
    from celery_graceful.model.run.verbs import Verb
    from celery_graceful.runs.plain_run import Page, Run
    from celery_graceful.runs.quarantined_items import QuarantinedItem

#: Quarantined items that are printed as JSON, and for people.
MOST_ITEMS, MOST_SHOWN = 1000, 20


@click.command()
@click.argument("run_id", metavar="ID")
@json_option
@click.pass_context
def show(ctx: click.Context, /, run_id: str, as_json: bool, **preload: Any) -> None:
    """Show one run: how far it is, and its past.

    Also why it does not move, its last error, what operators did, and what can be done now. The
    first characters of an ID are enough, if no other begins with them.
    """
    with open_app(ctx) as at:
        from celery_graceful.views.waiting import whys

        run = at.runs.get(run_id)
        (why,) = whys(at.runtime, [run], command=at.command)
        most = MOST_ITEMS if as_json else MOST_SHOWN
        items = at.runs.quarantined(str(run), limit=most)
        if as_json:
            _print_json(run, why, items)
        else:
            _print(at, run, why, items, at.full_name(run, run_id))
        if items.next is not None:
            say(f"The first {most} of {_all_items(at, run)} quarantined items.", err=True)


def _all_items(at: OpenApp, run: Run) -> str:
    from celery_graceful.runs.quarantined_items import MOST_COUNTED

    there = at.runs.count_quarantined(str(run))
    return f"at least {there}" if there >= MOST_COUNTED else str(there)


def _print_json(run: Run, why: str | None, items: Page[QuarantinedItem]) -> None:
    from celery_graceful.views.runs import SCHEMA, item_as_data, run_as_data

    entries = [item_as_data(item) for item in items]
    print_json(SCHEMA, run={**run_as_data(run), "why": why, "quarantined_items": entries})


def _print(at: OpenApp, run: Run, why: str | None, items: Page[QuarantinedItem], name: str) -> None:
    from celery_graceful.cli.run_text import ITEM_HEADINGS, item_row
    from celery_graceful.cli.show import one_run_text as text

    for line in text.headlines(run):
        _say_wrapped(line)
    if why is not None:
        _say_wrapped(f"Why: {why}")
    say()
    _print_facts(text.facts(run))
    for table in (text.executions_table(run), text.actions_table(run)):
        _print_section(table)
    if run.error is not None:
        _head("Last error")
        for line in text.error_lines(run.error):
            say(line)
    if items.items:
        _head("Quarantined items")
        print_table(ITEM_HEADINGS, [item_row(item) for item in items], solid=("number",))
    commands = _fitting_commands(at, run, name, len(items.items))
    if commands:
        _head("What can be done")
        print_pairs(commands)


def _fitting_commands(at: OpenApp, run: Run, name: str, items: int) -> list[tuple[str, str]]:
    """With a shortened id where the terminal is too narrow for the whole one."""
    from celery_graceful.text.terminal import cell_width, terminal_width

    commands, width = list(_commands(at, run, name, items)), terminal_width()
    verbs = max((len(verb) for verb, _ in commands), default=0) + 2
    if width is None or all(verbs + cell_width(line) <= width for _, line in commands):
        return commands
    return list(_commands(at, run, at.runs.short_ids([run])[0], items))


def _commands(at: OpenApp, run: Run, name: str, items: int) -> Iterator[tuple[str, str]]:
    """The verbs that its state allows, and the command of each."""
    from celery_graceful.cli import COMMANDS
    from celery_graceful.model.run.verbs import Verb

    for verb in Verb:
        words = ("retry", name, "--from", "CURSOR") if verb is Verb.REWIND else (str(verb), name)
        if words[0] in COMMANDS and _is_legal(verb, run, items):
            yield str(verb), at.line(*words)


def _is_legal(verb: Verb, run: Run, items: int) -> bool:
    from celery_graceful.model.run.verbs import rule_for

    has_message = run.queue is not None or not run.ended
    try:
        rule = rule_for(verb, run.state, run.requested, quarantined=items, has_message=has_message)
    except ValueError:  # a state that a later version added
        return False
    return rule.legal


def _print_section(table: Table) -> None:
    if table.rows:
        _head(table.title)
        print_table(table.headings, table.rows)


def _print_facts(pairs: list[tuple[str, str]]) -> None:
    """Names and values; in a terminal, long values are wrapped below themselves."""
    from celery_graceful.text.printable import printable
    from celery_graceful.text.terminal import terminal_width, wrapped

    wide = max(len(name) for name, _ in pairs) + 2
    width = terminal_width()
    for name, value in pairs:
        safe = printable(value)
        lines = [safe] if width is None else wrapped(safe, max(20, width - wide))
        for at, line in enumerate(lines):
            say(f"{'' if at else name:<{wide}}{line}", styled=True)


def _say_wrapped(text: str) -> None:
    from celery_graceful.text.printable import printable
    from celery_graceful.text.terminal import terminal_width, wrapped

    width, safe = terminal_width(), printable(text)
    for line in [safe] if width is None else wrapped(safe, width):
        say(line, styled=True)


def _head(title: str) -> None:
    say()
    say(f"{title}:")
