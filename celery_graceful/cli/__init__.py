"""``celery -A proj graceful …``: what operators type.

Imported at every start of ``celery``, so it imports only click; each command is imported when it is
used.
"""

from __future__ import annotations

import importlib
from typing import Any

import click

from celery_graceful.cli.options import offer_force

__all__ = ["graceful"]

#: The module of each command, in the order of the help.
COMMANDS = {
    "down": "celery_graceful.cli.down:down",
    "up": "celery_graceful.cli.up:up",
    "status": "celery_graceful.cli.status:status",
    "runs": "celery_graceful.cli.show.runs_list:runs",
    "show": "celery_graceful.cli.show.one_run:show",
    "start": "celery_graceful.cli.operate.start_run:start",
    "wait": "celery_graceful.cli.operate.wait_for_run:wait",
    "pause": "celery_graceful.cli.operate.verb_commands:pause",
    "resume": "celery_graceful.cli.operate.verb_commands:resume",
    "cancel": "celery_graceful.cli.operate.verb_commands:cancel",
    "retry": "celery_graceful.cli.operate.verb_commands:retry",
    "fork": "celery_graceful.cli.operate.verb_commands:fork",
    "adjust": "celery_graceful.cli.operate.verb_commands:adjust",
    "release": "celery_graceful.cli.operate.verb_commands:release",
    "resend": "celery_graceful.cli.operate.verb_commands:resend",
    "replay": "celery_graceful.cli.operate.verb_commands:replay",
    "delete": "celery_graceful.cli.operate.verb_commands:delete",
    "web": "celery_graceful.cli.web_server:web",
    "doctor": "celery_graceful.cli.doctor:doctor",
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
    """Maintenance mode (down, up, status); runs of iterable tasks; a doctor; a demo.

    Exit codes: 0 done, 2 wrong usage or app, 3 a wait timed out, 4 refused, 5 to 7 the run failed,
    was cancelled or is paused (wait), 10 in maintenance (status) or warnings (doctor), 20 errors
    (doctor), 69 no broker or store, or no worker (status).
    """


offer_force()
