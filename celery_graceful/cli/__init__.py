"""``celery -A proj graceful …``: what operators type.

Imported at every start of ``celery``, so it imports click alone; each command is loaded when it is
asked for.
"""

from __future__ import annotations

import importlib
from typing import Any

import click

__all__ = ["graceful"]

#: Where each command lives, in the order of the help.
COMMANDS = {
    "runs": "celery_graceful.cli.runs:runs",
    "pause": "celery_graceful.cli.changes:pause",
    "resume": "celery_graceful.cli.changes:resume",
    "cancel": "celery_graceful.cli.changes:cancel",
    "retry": "celery_graceful.cli.changes:retry",
    "replay": "celery_graceful.cli.replay:replay",
    "demo": "celery_graceful.demo.command:demo",
}


class LazyGroup(click.Group):
    """A group that imports a command when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name, ``None`` if there is none."""
        home = COMMANDS.get(cmd_name)
        if home is None:
            return None
        module, _, name = home.partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command


@click.group(cls=LazyGroup)
@click.pass_context
def graceful(ctx: click.Context, /, **preload: Any) -> None:
    """Runs of iterable tasks: look at them, pause, resume and cancel them, see a demo.

    Exit codes: 0 done, 2 wrong usage or app, 4 refused, 69 no broker or store.
    """
