"""``/start``: starts an iterable task, by a form that is made from its signature."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from celery_graceful import errors
from celery_graceful.runs.oneoff.start import How
from celery_graceful.text.masking import mask_text
from celery_graceful.views.start_form.docstrings import summary_of
from celery_graceful.views.start_form.form import Form, make_form, startable
from celery_graceful.views.start_form.submission import (
    Submission,
    field_of_error,
    read_form,
    run_id,
)
from celery_graceful.web.http import START
from celery_graceful.web.pages import failure
from celery_graceful.web.rendering.shown_runs import run_page

if TYPE_CHECKING:
    from celery_graceful.runs.oneoff.start import Started
    from celery_graceful.web.http import Response
    from celery_graceful.web.page_context import Context

#: Seconds for which the list of tasks is kept: it changes with the code only.
_LASTS = 60.0
_TOKEN = re.compile(r"[0-9a-f]{32}")
_CHANGED = (
    "The arguments of the task are others since this form was made: look at all fields, and start"
    " again. Nothing was started."
)


@dataclass(frozen=True, slots=True)
class ShownTask:
    """A task that can be started."""

    name: str
    url: str
    about: str


def page(context: Context) -> Response:
    """The tasks; or the form of one, whose fields the address may fill in."""
    query = context.request.query
    name = query.get("task")
    if not name:
        return context.render("start/tasks.html", tasks=_tasks(context))
    try:
        form = _form(context, name)
    except errors.DefinitionError as exc:
        return failure.page(context, 409, "This task cannot be started", str(exc))
    given = {f.input: query.get(f.input) for f in form.fields if f.input in query}
    return _show(context, form, given)


def submit(context: Context) -> Response:
    """Start it, and go to its run; or show the form again with what is wrong at which field."""
    given = context.request.form
    form = _form(context, given.get("task"))
    values = {f.input: given.get(f.input) for f in form.fields if f.input in given}
    if given.get("fingerprint") != form.fingerprint:
        return _show(context, form, values, {"": _CHANGED}, status=409)
    read = read_form(form, values)
    if not read.ok:
        return _show(context, form, read.values, read.errors, status=422)
    token = given.get("token")
    wanted = run_id(form, token if _TOKEN.fullmatch(token) else secrets.token_hex(16), values)
    try:
        started = _start(context, form, read, wanted)
    except errors.NotSent as exc:
        return _to_run(context, form.name, wanted, mask_text(str(exc)), "trouble")
    except (errors.GracefulError, ValueError) as exc:
        where = field_of_error(form, str(exc)) or ("opt.cursor" if _about_cursor(exc) else "")
        status = 503 if isinstance(exc, errors.StoreUnavailable) else 422
        return _show(context, form, read.values, {where: mask_text(str(exc))}, status=status)
    message, kind = _what(started, wanted)
    return _to_run(context, started.run.task, started.run.id, message, kind)


def _start(context: Context, form: Form, read: Submission, wanted: str) -> Started:
    options: dict[str, Any] = {**(read.options or {}), "id": wanted}
    return context.runs.start_or_join(form.name, read.args, read.kwargs, who=context.who, **options)


def _what(started: Started, wanted: str) -> tuple[str, str]:
    note = f" Note: {started.note}." if started.note else ""
    if started.how is How.STARTED:
        return f"Started: {started.run}.{note}", "done"
    if started.run.id == wanted:
        return "This form has started this run before: nothing new was started.", "refused"
    if started.how is How.JOINED:
        return f"A run of this key is under way: nothing new was started.{note}", "refused"
    return f"The run of this key has completed: nothing new was started.{note}", "refused"


def _about_cursor(exc: Exception) -> bool:
    return isinstance(exc, errors.CursorError)


def _to_run(context: Context, task: str, id: str, message: str, kind: str) -> Response:
    place = run_page(context, task, id)[len(context.request.mount) :]
    return context.back(message, kind=kind, to=place)


def _form(context: Context, name: str) -> Form:
    """The form of a task.

    Raises:
        UnknownTask: the app has no iterable task of this name.
        DefinitionError: it is not written as one has to be.
    """
    if name not in _names(context):
        raise errors.UnknownTask(f"The app has no iterable task {name[:200]!r}.")
    return make_form(context.screen.app.tasks[name])


def _names(context: Context) -> list[str]:
    app = context.screen.app
    return context.snapshot("tasks", _LASTS, lambda: startable(app))


def _tasks(context: Context) -> list[ShownTask]:
    tasks = context.screen.app.tasks
    return [
        ShownTask(
            name,
            context.url("/start", task=name),
            summary_of(tasks[name].__doc__).split("\n\n")[0].replace("\n", " ")[:200],
        )
        for name in _names(context)
    ]


def _show(
    context: Context,
    form: Form,
    given: Mapping[str, str],
    wrong: Mapping[str, str] | None = None,
    *,
    status: int = 200,
) -> Response:
    values = {f.input: given.get(f.input, f.default_text or "") for f in form.fields}
    values.update({f.input: "" for f in form.fields if f.secret})
    found = dict(wrong or {})
    token = context.request.form.get("token")
    return context.render(
        "start/form.html",
        status=status,
        form=form,
        values=values,
        errors=found,
        token=token if _TOKEN.fullmatch(token) else secrets.token_hex(16),
        option_errors=any(f.input in found for f in form.options),
        options_given=any(values[f.input] != (f.default_text or "") for f in form.options),
        why_not=context.why_not(START),
    )
