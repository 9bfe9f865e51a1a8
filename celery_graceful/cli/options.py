"""Options of commands, and how queues, tasks and durations are written in them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import click

#: As in :mod:`celery_graceful.plugin`, which is not imported for every ``celery`` command.
FORCE = "--maintenance-force"
DJANGO_APP = "celery_graceful.contrib.django"
json_option = click.option("-j", "--json", "as_json", is_flag=True, help="JSON on stdout.")
#: Seconds between two frames.
_EVERY = 2.0


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


def json_value(text: str, example: str) -> Any:
    """What JSON on the command line means.

    Args:
        text: the JSON.
        example: of right JSON, quoted for a shell.

    Raises:
        click.BadParameter: it is not JSON; shows the example.
    """
    from celery_graceful.text import strict_json

    try:
        return strict_json.loads(text)
    except ValueError as exc:
        raise click.BadParameter(
            f"{text!r:.200} is not JSON: {exc}. Example, quoted for a shell: {example}"
        ) from exc


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


class ForceOption(click.Option):
    """``celery worker --maintenance-force`` where Django adds the plugin.

    ``celery`` reads its command line before Django is set up, and so before the Django app has
    added the plugin and its option. For a project without the plugin it is as if it were not there.
    """

    def __init__(self) -> None:
        super().__init__((FORCE,), is_flag=True, hidden=True, expose_value=False)

    def handle_parse_result(
        self, ctx: click.Context, opts: Mapping[str, Any], args: list[str]
    ) -> tuple[Any, list[str]]:
        """Hand it on where the Django app is installed.

        Raises:
            click.NoSuchOption: it is not.
        """
        value, args = super().handle_parse_result(ctx, opts, args)
        if value:
            if not _is_installed():
                raise click.NoSuchOption(FORCE, ctx=ctx)
            ctx.params["maintenance_force"] = True
        return value, args


def offer_force() -> None:
    """Add :class:`ForceOption` to the worker's command, if this is the program ``celery``."""
    module: Any = sys.modules.get("celery.bin.worker")
    if module is not None:
        module.worker.params.append(ForceOption())


def _is_installed() -> bool:
    """Whether the project's settings name the Django app."""
    conf = sys.modules.get("django.conf")
    if conf is None:
        return False
    installed = conf.settings.INSTALLED_APPS
    return any(name == DJANGO_APP or name.startswith(f"{DJANGO_APP}.") for name in installed)


def watch_options(function: Any) -> Any:
    """The options ``--watch`` and ``--interval``."""
    function = click.option(
        "-i", "--interval", metavar="TIME", help="With --watch: the time between two looks; 2s."
    )(function)
    return click.option(
        "--watch", is_flag=True, help="Draw it again and again until Ctrl-C; needs rich."
    )(function)


def interval_of(interval: str | None, *, watch: bool, as_json: bool) -> float | None:
    """The seconds between two frames; ``None``: only one is asked for.

    Raises:
        Misuse: these options do not go together.
    """
    from celery_graceful.cli.exit_codes import Misuse

    if not watch:
        if interval is not None:
            raise Misuse("--interval is for --watch.")
        return None
    if as_json:
        raise Misuse("--watch draws a table, and --json prints data once: give one of them.")
    return _EVERY if interval is None else duration(interval)
