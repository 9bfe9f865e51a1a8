"""How queues, tasks and durations are written on the command line."""

from __future__ import annotations

from typing import Any

import click


def duration(text: str) -> float:
    """The seconds that ``30s``, ``5m`` or ``1h30m`` mean.

    Raises:
        click.BadParameter: it means none.
    """
    from celery_graceful.durations import parse

    try:
        seconds = parse(text)
    except ValueError as exc:
        raise click.BadParameter(str(exc)) from exc
    if seconds == 0:
        raise click.BadParameter(f"{text!r} is no time at all")
    return seconds


json_option = click.option("-j", "--json", "as_json", is_flag=True, help="JSON on stdout.")


def scope_options(function: Any) -> Any:
    """The options ``-Q`` and ``-T``."""
    function = click.option(
        "-T",
        "--task",
        "tasks",
        multiple=True,
        metavar="TASK",
        help="A task, or a pattern such as 'shop.mail.*'; may be given several times.",
    )(function)
    return click.option(
        "-Q",
        "--queue",
        "queues",
        multiple=True,
        metavar="QUEUE",
        help="A queue, or several: a,b; may be given several times.",
    )(function)


def names_of(given: tuple[str, ...], option: str) -> list[str]:
    """The names in what was given, at commas as well."""
    names = [name.strip() for text in given for name in text.split(",")]
    if not all(names):
        raise click.BadParameter("a name is empty", param_hint=option)
    return names
