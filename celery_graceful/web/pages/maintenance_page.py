"""``/maintenance``: what is held, the workers on their way, ``down`` with a dry run, and ``up``."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from celery_graceful.durations import parse, short
from celery_graceful.errors import (
    CorruptRecord,
    NewerRecord,
    ScopeNotDown,
    ScopeRefused,
    UnknownScope,
)
from celery_graceful.text.masking import mask_text
from celery_graceful.text.printable import printable
from celery_graceful.views.fleet.ends_at import seconds_until
from celery_graceful.web.http import MAINTAIN, Fields
from celery_graceful.web.pages.workers_page import fleet_of
from celery_graceful.web.rendering.shown_maintenance import (
    DownForm,
    down_form,
    mode_state,
    progress_of,
    scopes_in,
    shown_plan,
)
from celery_graceful.web.rendering.shown_workers import MOST_BLOCKS, shown_blocks

if TYPE_CHECKING:
    from celery_graceful.maintenance.mode_changes import Change
    from celery_graceful.views.fleet.watch import FleetState
    from celery_graceful.web.http import Response
    from celery_graceful.web.page_context import Context

#: Seconds that the workers are shown without reading the store.
LASTS = 1.9
#: What the address of a dry run has of the form.
_ASKED = ("what", "queue", "tasks", "reason", "until", "finish")
_LONGEST_ADDRESS = 4000


def page(context: Context) -> Response:
    """The mode, who still has to pause, the form, and the history."""
    query = context.request.query
    return _planned(context, query) if "plan" in query else _page(context, DownForm())


def ask_plan(context: Context) -> Response:
    """A dry run: on to its page, whose address has what was asked and not the form's token."""
    given = context.request.form
    pairs = [(name, value) for name, value in given if name in _ASKED and value]
    address = f"/maintenance?{urlencode([('plan', '1'), *pairs])}"
    if len(address) > _LONGEST_ADDRESS:
        return _planned(context, given)
    return context.back(to=address)


def _planned(context: Context, given: Fields) -> Response:
    form, errors = down_form(given)
    plan = None
    if not errors:
        try:
            plan = context.maintenance.plan(form.queues, form.tasks, interrupt=form.interrupt)
        except (UnknownScope, ScopeRefused) as exc:
            errors = _scope_error(exc)
    shown = None if plan is None else shown_plan(plan, _seconds(context, form, errors))
    return _page(context, form, errors, plan=shown, status=422 if errors else 200)


def down(context: Context) -> Response:
    """Hold what the form names. The page after it shows the workers on their way."""
    form, errors = down_form(context.request.form)
    seconds = _seconds(context, form, errors)
    if errors:
        return _page(context, form, errors, status=422)
    try:
        done = context.maintenance.down(
            form.queues,
            form.tasks,
            reason=form.reason,
            seconds=seconds,
            interrupt=form.interrupt,
            who=context.who,
        )
    except (UnknownScope, ScopeRefused) as exc:
        return _page(context, form, _scope_error(exc), status=422)
    except ValueError as exc:
        return _page(context, form, {"until": str(exc)}, status=422)
    what = ", ".join(map(str, done.scopes))
    until = "until somebody ends it" if seconds is None else f"for {short(seconds)}"
    again = " (it was held already: it has these terms now)" if _was_held(done) else ""
    return _answer(context, f"Down: {what}, {until}{again}.", done)


def up(context: Context) -> Response:
    """Release what the form names, or all."""
    form = context.request.form
    ramp = form.get("ramp").strip()
    queues, tasks, everything = scopes_in(form.all("scope"))
    stale = _stale(context, form)
    if stale:
        return context.redirect("/maintenance", stale, kind="refused")
    try:
        lasts = parse(ramp) if ramp else None
    except ValueError as exc:
        return _page(context, DownForm(), {"ramp": str(exc)}, status=422, ramp=ramp)
    if everything and (queues or tasks):
        queues, tasks = (), ()
    try:
        done = context.maintenance.up(queues, tasks, ramp=lasts, who=context.who)
    except ValueError as exc:
        return _page(context, DownForm(), {"ramp": str(exc)}, status=422, ramp=ramp)
    except ScopeNotDown as exc:
        return context.redirect("/maintenance", f"Nothing was changed: {exc}.", kind="refused")
    if done.before.version == done.mode.version:
        message = "All is up already: nothing was changed."
    else:
        released = [h for h in done.before.holds if done.mode.hold_of(h.scope) is None]
        slowly = f", slowly, over {short(lasts)}" if lasts else ""
        held = ", ".join(str(h.scope) for h in done.mode.holds)
        left = f" Still held: {held}." if held else ""
        message = f"Up: {', '.join(str(h.scope) for h in released) or 'all'}{slowly}.{left}"
    return _answer(context, message, done)


def _answer(context: Context, message: str, done: Change) -> Response:
    context.screen.fleet.forget()
    kind = "trouble" if done.warnings else "done"
    text = " ".join((message, *map(mask_text, done.warnings)))
    back = context.request.form.get("back")
    return context.back(text, kind=kind, to=back or "/maintenance")


def _was_held(done: Any) -> bool:
    return any(done.before.hold_of(scope) is not None for scope in done.scopes)


def _stale(context: Context, form: Fields) -> str:
    """Why what somebody saw is no longer so; empty: it is."""
    seen = form.get("version")
    if not seen:
        return ""
    context.screen.fleet.forget()
    try:
        now = context.screen.fleet.look().mode.version
    except CorruptRecord:
        return ""
    if seen == str(now):
        return ""
    return "Nothing was changed: the mode is another than when this page was made. Look again."


def _seconds(context: Context, form: DownForm, errors: dict[str, str]) -> float | None:
    try:
        return seconds_until(form.until, datetime.now(context.screen.app.timezone))
    except ValueError as exc:
        errors["until"] = str(exc)
        return None


def _scope_error(exc: Exception) -> dict[str, str]:
    return {"tasks" if str(exc).startswith("No task") else "queues": str(exc)}


def _page(
    context: Context,
    form: DownForm,
    errors: Mapping[str, str] | None = None,
    *,
    status: int = 200,
    plan: Any = None,
    ramp: str = "",
) -> Response:
    try:
        fleet, unreadable = fleet_of(context, LASTS), ""
    except NewerRecord:
        raise
    except CorruptRecord as exc:
        fleet, unreadable = None, mask_text(str(exc))
    settings = context.runtime.settings
    app = context.screen.app
    return context.render(
        "fleet/maintenance.html",
        status=status,
        mode=None if fleet is None else fleet.mode,
        maintenance=None if fleet is None else fleet.mode,
        state=mode_state(fleet),
        now=0.0 if fleet is None else fleet.now,
        unreadable=unreadable,
        progress=None if fleet is None else progress_of(fleet),
        blocks=[] if fleet is None else shown_blocks(context, fleet)[:MOST_BLOCKS],
        more_blocks=max(0, len(fleet.barrier.blocks) - MOST_BLOCKS) if fleet else 0,
        log=[] if fleet is None else list(reversed(fleet.mode.log)),
        form=form,
        errors=errors or {},
        plan=plan,
        ramp=ramp,
        queues=_queues(context, fleet),
        exempt=sorted(settings.maintenance_exempt_queues),
        task_names=context.snapshot("task names", 60.0, lambda: _task_names(app)),
        zone=str(app.timezone),
        live=not (errors or plan),
        why_not=context.why_not(MAINTAIN),
    )


def _task_names(app: Any) -> list[str]:
    app.loader.import_default_modules()
    return sorted(name for name in app.tasks if not name.startswith("celery."))


def _queues(context: Context, fleet: FleetState | None) -> list[str]:
    """The queues that can be held: those of the configuration and those that workers consume.

    A browser does not send back a name with a new line in it, say: ``graceful down`` holds these.
    """
    reports = [w.report for w in fleet.barrier.workers if w.report] if fleet else []
    known = set(context.screen.app.amqp.queues).union(*(report.queues for report in reports))
    exempt = context.runtime.settings.maintenance_exempt_queues
    return sorted(name for name in known - exempt if printable(name) == name)
