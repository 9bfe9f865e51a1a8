"""``graceful doctor``: what is wrong in the configuration and in the files that deploy workers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from celery_graceful.cli.context import loaded
from celery_graceful.cli.exit_codes import exits
from celery_graceful.cli.options import duration
from celery_graceful.cli.output import say

if TYPE_CHECKING:
    from celery_graceful.doctor.examine import Examination
    from celery_graceful.doctor.facts import Deployed
    from celery_graceful.doctor.facts.running_workers import Seen
    from celery_graceful.doctor.finding import Finding
    from celery_graceful.runtime import Runtime


@click.command()
@click.option(
    "-m",
    "--manifest",
    "manifests",
    multiple=True,
    metavar="FILE",
    type=click.Path(exists=True, allow_dash=True),
    help="A file that deploys workers, or a folder of such files; may be given more than once."
    " Kubernetes, docker-compose, Dockerfile, systemd, supervisord, Procfile; - is stdin.",
)
@click.option("-j", "--json", "as_json", is_flag=True, help="JSON on stdout.")
@click.option(
    "-t",
    "--timeout",
    default="1s",
    metavar="TIME",
    callback=lambda _ctx, _param, text: duration(text),
    help="How long to wait for the answers of running workers; 1s by default.",
)
@click.option(
    "--processes",
    is_flag=True,
    help="Examine what started the app's workers on this host (needs psutil).",
)
@click.option("--no-workers", is_flag=True, help="Ask neither running workers nor the store.")
@click.pass_context
def doctor(
    ctx: click.Context,
    /,
    manifests: tuple[str, ...],
    as_json: bool,
    timeout: float,
    processes: bool,
    no_workers: bool,
    **preload: Any,
) -> None:
    """Find what would lose, repeat or hold up work at the next deploy.

    Examines the app's configuration, the files that deploy its workers, and running workers with
    what they reported. Exit code 0 when nothing is wrong, 10 with warnings, 20 with errors.
    """
    with exits():
        from celery_graceful.doctor.examine import examine
        from celery_graceful.doctor.facts.app_configuration import app_facts
        from celery_graceful.doctor.finding import exit_code, in_order
        from celery_graceful.doctor.readers import read_files

        runtime = loaded(ctx)
        seen, trouble = (None, None) if no_workers else _ask(runtime)
        if not no_workers:
            seen = _with_answers(runtime, seen, timeout)
        given = ctx.find_root().params.get("app")
        examined = examine(
            app_facts(runtime.app),
            read_files(manifests),
            seen,
            asked_for=given if isinstance(given, str) else None,
            grace=runtime.settings.grace_period,
            processes=_on_this_host() if processes else (),
        )
        findings = in_order([*examined.findings, *([trouble] if trouble else [])])
        if as_json:
            _print_data(runtime, examined, findings, seen)
        else:
            _print(runtime, examined, findings, seen)
        ctx.exit(exit_code(findings))


def _ask(runtime: Runtime) -> tuple[Seen | None, Finding | None]:
    """What running workers reported to the store; or the finding that it does not answer."""
    from celery_graceful.doctor.examine import not_asked
    from celery_graceful.doctor.facts.running_workers import look_around
    from celery_graceful.errors import SettingsError, StoreError

    try:
        store = runtime.store
    except SettingsError:
        return None, None  # the check of the store's options reports it
    if not store.shared_between_processes or runtime.store_is_fallback:
        return None, None  # not readable from here; the checks of the store say why
    try:
        return look_around(runtime), None
    except StoreError as exc:
        return None, not_asked(str(exc))
    finally:
        store.close()


def _with_answers(runtime: Runtime, seen: Seen | None, timeout: float) -> Seen | None:
    """The same with what running workers answer; a line on stderr says if none does."""
    from celery_graceful.doctor.facts.running_workers import NobodyAnswers, Seen, ask_workers

    known = seen or Seen()
    try:
        running = ask_workers(runtime, known.queues, quiet=timeout)
    except NobodyAnswers as exc:
        say(f"Running workers were not examined: {exc}", err=True)
        return seen
    workers = max(known.workers, len(running))
    return replace(known, running=running, workers=workers)


def _on_this_host() -> list[Deployed]:
    """Workers among the processes of this host."""
    from celery_graceful.doctor.facts.processes import HOW_TO, all_processes, readable, workers_in

    if not readable():
        say(f"The processes of this host were left out: {HOW_TO}", err=True)
        return []
    return workers_in(all_processes())


def _print(
    runtime: Runtime, examined: Examination, findings: list[Finding], seen: Seen | None
) -> None:
    from celery_graceful.cli.findings_text import examined_line, findings_lines
    from celery_graceful.cli.status import print_processes, processes_of

    for line in findings_lines(findings, runtime.namespace):
        say(line, styled=True)
    say(examined_line(examined, findings, seen))
    print_processes(processes_of(runtime.namespace))


def _print_data(
    runtime: Runtime, examined: Examination, findings: list[Finding], seen: Seen | None
) -> None:
    from celery_graceful.cli.output import print_json
    from celery_graceful.cli.status import processes_of
    from celery_graceful.views import findings as views

    print_json(
        views.SCHEMA,
        app=runtime.namespace,
        findings=[views.finding_as_data(finding) for finding in findings],
        deployed=[views.deployed_as_data(worker) for worker in examined.workers],
        running=None if seen is None else seen.workers,
        workers=[] if seen is None else [views.running_as_data(worker) for worker in seen.running],
        processes=processes_of(runtime.namespace),
    )
