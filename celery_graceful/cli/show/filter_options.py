"""Which runs a command is about: its options, and what ``graceful.runs.list`` takes."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from celery_graceful.cli.context import OpenApp
    from celery_graceful.runs.plain_run import Page, Run

#: Seconds: no run is older, and a ``timedelta`` holds no more than some multiples of it.
_LONGEST = 1e12
#: The options' names, as ``graceful.runs.list`` has them.
NAMES = ("state", "task", "queue", "worker", "text", "since", "tag")


def filter_options(function: Any) -> Any:
    """The options that choose runs."""
    options = (
        click.option("-s", "--state", help="Only runs in this state, such as running or paused."),
        click.option("-T", "--task", help="Only runs of this task."),
        click.option("-Q", "--queue", help="Only runs whose messages go to this queue."),
        click.option("-w", "--worker", help="Only runs on this worker, by its node name."),
        click.option("--text", help="Only runs with this in the task's name, id or worker."),
        click.option("--since", metavar="TIME", help="Only runs begun since: 2h, 30m."),
        click.option("--tag", help="Only runs with this tag."),
    )
    for option in reversed(options):
        function = option(function)
    return function


def given_filters(options: dict[str, Any]) -> dict[str, str]:
    """The options of :func:`filter_options` that were given, as they were written."""
    return {name: options[name] for name in NAMES if options.get(name)}


def as_arguments(given: dict[str, str]) -> dict[str, Any]:
    """What ``graceful.runs.list`` takes.

    Raises:
        click.BadParameter: there is no such state, or the time cannot be read.
    """
    from celery_graceful.cli.options import duration
    from celery_graceful.runs.listing.filters import STATES

    state = given.get("state")
    if state is not None and state not in STATES:
        raise click.BadParameter(f"{state!r} is none of {', '.join(STATES)}", param_hint="--state")
    if "since" in given:
        return {**given, "since": timedelta(seconds=min(duration(given["since"]), _LONGEST))}
    return dict(given)


def described(given: dict[str, str]) -> str:
    """The filters in words: ``state paused, task shop.import``; empty: none."""
    return ", ".join(f"{name} {value}" for name, value in given.items())


def listed(at: OpenApp, limit: int, arguments: dict[str, Any], most_pages: int) -> Page[Run]:
    """So many runs if there are: a page may be short where few fit the filters.

    Args:
        limit: how many at most.
        arguments: what ``graceful.runs.list`` takes.
        most_pages: pages after which it is left at what was found; 0: any number.
    """
    from celery_graceful.runs.plain_run import Page

    page = at.runs.list(limit=limit, **arguments)
    items, pages = list(page), 1
    while page.next is not None and len(items) < limit and pages != most_pages:
        page = at.runs.list(limit=limit - len(items), after=page.next, **arguments)
        items += page
        pages += 1
    return Page(tuple(items), page.next)
