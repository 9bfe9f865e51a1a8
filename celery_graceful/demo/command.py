"""``celery graceful demo``: raise the curtain, tell the verdict, leave nothing behind."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from celery_graceful.demo.verdict import Verdict

FAILED, UNAVAILABLE = 1, 69


@click.command()
@click.option("-j", "--json", "as_json", is_flag=True, help="The verdict as JSON on stdout.")
@click.option("--keep", is_flag=True, help="Keep the folder with the workers' logs.")
def demo(as_json: bool, keep: bool, **preload: Any) -> None:
    """Watch a run being stopped and killed, and lose nothing.

    Starts a Valkey server of its own and three workers one after the other; takes about half a
    minute, needs no other server and leaves nothing behind.
    """
    from celery_graceful.demo import interrupts, servers, stage, words
    from celery_graceful.demo.screen import screen

    stream = sys.stderr if as_json else sys.stdout
    try:
        with interrupts.raised(), servers.folder(keep=keep) as home, screen(stream) as shown:
            if keep:
                shown.say(f"Logs and ledger: {home}", stamped=False)
            verdict = stage.play(shown, home)
    except servers.MissingServer as exc:
        _leave(str(exc), UNAVAILABLE)
    except stage.StageError as exc:
        _leave(str(exc), FAILED)
    except SystemExit:
        click.echo("Interrupted; all that was started has been ended.", err=True)
        raise
    _tell(verdict, words.of(verdict), as_json)
    sys.exit(0 if verdict.passed else FAILED)


def _tell(verdict: Verdict, text: str, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(verdict.as_data(), indent=2))
    else:
        click.echo(text)


def _leave(message: str, code: int) -> None:
    click.echo(f"Error: {message}", err=True)
    sys.exit(code)
