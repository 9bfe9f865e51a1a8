"""``graceful web``: the web screen on a server of its own."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Any

import click

from celery_graceful.cli.context import OpenApp, open_app
from celery_graceful.cli.exit_codes import Misuse, Unavailable, exits
from celery_graceful.cli.output import say, whom

if TYPE_CHECKING:
    from celery_graceful.web.screen_options import ScreenOptions


@click.command()
@click.option("-p", "--port", default=5556, show_default=True, type=click.IntRange(0, 65535))
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option(
    "--allow-actions", is_flag=True, help="Let those who log in change something; needs --auth."
)
@click.option(
    "--auth",
    multiple=True,
    metavar="USER:FILE|FILE",
    help="A user and a file with the hash of the password, or a file with lines USER:HASH.",
)
@click.option(
    "--allowed-host",
    "allowed",
    multiple=True,
    metavar="NAME",
    help="A name by which browsers reach the screen; .example.com allows all below it.",
)
@click.option("--hash-password", is_flag=True, help="Ask for a password, print its hash, and end.")
@click.pass_context
def web(
    ctx: click.Context,
    /,
    port: int,
    host: str,
    allow_actions: bool,
    auth: tuple[str, ...],
    allowed: tuple[str, ...],
    hash_password: bool,
    **preload: Any,
) -> None:
    """Serve the web screen: runs, maintenance, workers.

    Read-only, and for this machine alone, unless --auth and --allow-actions say otherwise.
    """
    from celery_graceful.web.shell.wsgi import check_packages

    with exits():
        check_packages()
    if hash_password:
        _print_hash()
        return
    with open_app(ctx) as at:
        options = _options(host, port, allow_actions, auth, allowed)
        whom(at)
        _serve(at, host, port, options)


def _options(
    host: str, port: int, actions: bool, auth: tuple[str, ...], allowed: tuple[str, ...]
) -> ScreenOptions:
    """What was asked for, if it is safe.

    Raises:
        Misuse: it is not.
    """
    from celery_graceful.web.login.accounts import Accounts
    from celery_graceful.web.login.password_files import read_accounts
    from celery_graceful.web.screen_options import LOOPBACK, ScreenOptions
    from celery_graceful.web.shell.wsgi import is_loopback

    if actions and not auth:
        raise Misuse("--allow-actions needs a login: add --auth USER:FILE.")
    if not is_loopback(host) and not auth:
        raise Misuse(
            f"--host {host}: others could read everything there. Add a login with --auth"
            " USER:FILE, or listen on 127.0.0.1 behind a proxy that has one."
        )
    accounts = Accounts(read_accounts(auth), actions) if auth else None
    names = {*LOOPBACK, *allowed, *([host] if host not in ("0.0.0.0", "::") else [])}
    read_only = (
        "" if actions else "this screen is read-only: it was started without --allow-actions"
    )
    return ScreenOptions(frozenset(names), accounts, read_only, f"_{port}")


def _serve(at: OpenApp, host: str, port: int, options: ScreenOptions) -> None:
    from celery_graceful.web.dispatch import Screen
    from celery_graceful.web.shell.http_server import make_server
    from celery_graceful.web.shell.wsgi import ScreenApplication, anybody

    application = ScreenApplication(Screen(at.runtime.app, options), anybody)
    try:
        server = make_server(host, port, application)
    except OSError as exc:
        raise Unavailable(
            f"{host}:{port} cannot be listened on: {exc}. Choose another --port."
        ) from exc
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    shown = f"[{host}]" if ":" in host else host
    what = "actions allowed after login" if not options.read_only else "read-only"
    say(f"Serving http://{shown}:{server.port}/ ({what}). Ctrl-C ends it.", err=True)
    try:
        server.serve_forever()
    finally:
        server.server_close()


def _print_hash() -> None:
    from werkzeug.security import generate_password_hash

    password = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    say(generate_password_hash(password))
