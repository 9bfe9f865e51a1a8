"""``graceful web``: the web screen on a server of its own."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import click

from celery_graceful.cli.context import OpenApp, open_app
from celery_graceful.cli.exit_codes import Misuse, Unavailable, exits
from celery_graceful.cli.output import say, whom

if TYPE_CHECKING:
    from celery_graceful.web.login.accounts import Accounts
    from celery_graceful.web.screen_options import ScreenOptions


@dataclass(frozen=True)
class Asked:
    """What the command line asks for."""

    port: int = 5556
    host: str = "127.0.0.1"
    allow_actions: bool = False
    auth: tuple[str, ...] = ()
    session_key_file: str | None = None
    allowed: tuple[str, ...] = ()
    proxies: tuple[str, ...] = ()


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
@click.option(
    "--trusted-proxy",
    "proxies",
    multiple=True,
    metavar="ADDRESS|NETWORK",
    help="A proxy in front, whose X-Forwarded-* are believed.",
)
@click.option(
    "--session-key-file",
    metavar="FILE",
    help="The key that signs sessions; without it they end with the process.",
)
@click.option("--hash-password", is_flag=True, help="Ask for a password, print its hash, and end.")
@click.pass_context
def web(
    ctx: click.Context,
    /,
    hash_password: bool,
    **given: Any,
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
        asked = Asked(**{each.name: given[each.name] for each in fields(Asked)})
        options = _options(asked, os.environ)
        whom(at)
        _serve(at, asked, options)


def _options(asked: Asked, environ: Mapping[str, str]) -> ScreenOptions:
    """What was asked for, if it is safe.

    Raises:
        Misuse: it is not.
        SettingsError: a file or an address is wrong.
    """
    from celery_graceful.web.safety.forwarded import trusted_networks
    from celery_graceful.web.screen_options import LOOPBACK, ScreenOptions
    from celery_graceful.web.shell.wsgi import is_loopback

    host = asked.host
    if asked.allow_actions and not asked.auth:
        raise Misuse("--allow-actions needs a login: add --auth USER:FILE.")
    if asked.session_key_file and not asked.auth:
        raise Misuse("--session-key-file is for a login: add --auth USER:FILE.")
    if not is_loopback(host) and not asked.auth:
        raise Misuse(
            f"--host {host}: others could read everything there. Add a login with --auth"
            " USER:FILE, or listen on 127.0.0.1 behind a proxy that has one."
        )
    names = {*LOOPBACK, *asked.allowed, *([host] if host not in ("0.0.0.0", "::") else [])}
    without = "this screen is read-only: it was started without --allow-actions"
    return ScreenOptions(
        hosts=frozenset(names),
        accounts=_accounts(asked, environ) if asked.auth else None,
        read_only="" if asked.allow_actions else without,
        trusted_proxies=trusted_networks(asked.proxies),
        cookie_suffix=f"_{asked.port}",
    )


def _accounts(asked: Asked, environ: Mapping[str, str]) -> Accounts:
    from celery_graceful.web.login.accounts import Accounts
    from celery_graceful.web.login.password_files import read_accounts
    from celery_graceful.web.login.session_key import session_key

    accounts = Accounts(read_accounts(asked.auth), asked.allow_actions)
    key = session_key(asked.session_key_file, environ)
    return accounts if key is None else replace(accounts, secret=key)


def _serve(at: OpenApp, asked: Asked, options: ScreenOptions) -> None:
    from celery_graceful.web.dispatch import Screen
    from celery_graceful.web.shell.http_server import make_server
    from celery_graceful.web.shell.wsgi import ScreenApplication, anybody

    host, port = asked.host, asked.port
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
