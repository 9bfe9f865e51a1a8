"""``celery graceful demo``: run it, print the verdict, leave nothing behind."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

FAILED, UNAVAILABLE = 1, 69


@click.command()
@click.option("-j", "--json", "as_json", is_flag=True, help="The verdict as JSON on stdout.")
@click.option("--keep", is_flag=True, help="Keep the folder with the workers' logs.")
def demo(as_json: bool, keep: bool, **preload: Any) -> None:
    """Watch a run being stopped and killed, and lose nothing.

    Starts a Valkey server of its own and three workers one after the other; takes about half a
    minute, needs no other server and leaves nothing behind.
    """
    from celery_graceful.demo import servers, stage
    from celery_graceful.demo.demo_verdict import text_of
    from celery_graceful.demo.screen import screen

    stream = sys.stderr if as_json else sys.stdout
    try:
        with servers.ended_by_signals(), servers.folder(keep=keep) as home, screen(stream) as shown:
            if keep:
                shown.say(f"Logs and notes: {home}", stamped=False)
            verdict = stage.play(shown, home)
    except servers.MissingServer as exc:
        _exit(str(exc), UNAVAILABLE)
    except stage.StageError as exc:
        _exit(str(exc), FAILED)
    except SystemExit:
        click.echo("Interrupted; all that was started has been ended.", err=True)
        raise
    click.echo(json.dumps(verdict.as_data(), indent=2) if as_json else text_of(verdict))
    sys.exit(0 if verdict.passed else FAILED)


def _exit(message: str, code: int) -> None:
    click.echo(f"Error: {message}", err=True)
    sys.exit(code)
