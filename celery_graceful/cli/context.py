"""What every command starts with: the app, checked, and its store."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from celery_graceful.cli.exit_codes import WrongApp, exits
from celery_graceful.cli.output import say

if TYPE_CHECKING:
    from celery_graceful.runs.api import Runs
    from celery_graceful.runs.plain_run import Run
    from celery_graceful.runtime import Runtime


@dataclass(frozen=True, slots=True)
class OpenApp:
    """The app an operator works on."""

    runtime: Runtime
    #: How its commands start: ``celery -A proj graceful``.
    command: str

    @property
    def store(self) -> str:
        """Where its runs are kept, without a password."""
        return self.runtime.store_address

    @property
    def runs(self) -> Runs:
        """Its runs, as ``graceful.runs`` gives them."""
        from celery_graceful.runs.api import Runs

        return Runs(lambda: self.runtime.app)

    def full_name(self, run: Run, given: str) -> str:
        """The id in full of a run that was asked for by ``given``, or ``task[id]`` if it was so."""
        return str(run) if given.endswith("]") and "[" in given else run.id

    def line(self, verb: str, *words: str) -> str:
        """The command that does ``verb`` with these arguments, for a shell."""
        return f"{self.command} {shlex.join((verb, *words))}"


@contextmanager
def open_app(ctx: click.Context) -> Iterator[OpenApp]:
    """Check the app's settings and tasks, open its store, and turn errors into exit codes.

    Raises:
        click.ClickException: the app is not given or wrong, the store does not answer, …
    """
    with exits():
        given = ctx.find_root().params.get("app")
        runtime = loaded(ctx)
        if given is None and runtime.store_is_fallback:
            raise WrongApp("Which app? Write: celery -A proj graceful …")
        _report_faults(runtime.app)
        _check_reach(runtime)
        start = f"celery -A {shlex.quote(given)}" if isinstance(given, str) else "celery"
        try:
            yield OpenApp(runtime, f"{start} graceful")
        finally:
            runtime.store.close()


def loaded(ctx: click.Context) -> Runtime:
    """The app with its tasks, its settings checked; nothing is connected to.

    Raises:
        WrongApp: the tasks cannot be imported.
        SettingsError: a setting is wrong.
    """
    from celery_graceful.runtime import runtime_of

    app = ctx.obj.app
    try:
        app.loader.import_default_modules()
        app.finalize(auto=True)
    except ImportError as exc:
        raise WrongApp(f"The app's tasks cannot be imported: {exc}") from exc
    return runtime_of(app)


def _report_faults(app: Any) -> None:
    """Name the tasks that cannot run as they are written; all other tasks can be operated."""
    from celery_graceful.tasks import definitions

    for fault in definitions.faults_in(app):
        say(f"A task cannot run as it is written: {fault}", err=True)


def _check_reach(runtime: Runtime) -> None:
    if not runtime.store.shared_between_processes:
        raise WrongApp(
            f"graceful_store is {runtime.store_address}: its runs are kept in the worker's"
            " memory and cannot be seen from here. Set it to a Redis or a database."
        )
    if runtime.store_caveat:
        say(runtime.store_caveat, err=True)
    if runtime.store_is_fallback:
        say(
            f"Reading {runtime.store_url}, since neither graceful_store nor broker nor result"
            " backend names a shared store. This is right only in the workers' own folder.",
            err=True,
        )
