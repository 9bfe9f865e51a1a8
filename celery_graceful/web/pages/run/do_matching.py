"""``/do`` for every run that fits a filter, on all pages of the list; asks first."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from celery_graceful.model.run.verbs import DOES, Verb
from celery_graceful.text.counting import counted
from celery_graceful.text.masking import mask_text
from celery_graceful.web.http import Response
from celery_graceful.web.pages.runs_page import ALL, FILTERS
from celery_graceful.web.rendering.shown_runs import quoted
from celery_graceful.web.rendering.shown_verbs import LABELS

if TYPE_CHECKING:
    from celery_graceful.web.page_context import Context

#: Runs that are changed by one request, and the seconds that it takes at most.
MOST, LONGEST = 1000, 10.0
#: The names of the fields that hold the filter begin so: "reason" and "verb" are others.
PREFIX = "filter_"
_NAMED = 3


def filters_of(context: Context) -> dict[str, str]:
    """The filter in a form, without what is empty."""
    form = context.request.form
    given = {name: form.get(PREFIX + name).strip() for name in ("state", *FILTERS)}
    if given["state"] == ALL:
        given["state"] = ""
    return {name: value for name, value in given.items() if value}


def page(context: Context, verb: Verb, reason: str) -> Response:
    """Ask, or do it."""
    wanted: dict[str, Any] = filters_of(context)
    if not wanted:
        return context.back(
            "Choose a state or a filter first: nothing was changed.", kind="refused"
        )
    try:
        if not context.request.form.get("confirmed"):
            return _ask(context, verb, reason, wanted)
        return _do(context, verb, reason, wanted)
    except ValueError as exc:  # the filter
        return context.back(f"{exc}: nothing was changed.", kind="refused")


def _ask(context: Context, verb: Verb, reason: str, wanted: dict[str, Any]) -> Response:
    runs = list(context.runs.matching(most=MOST + 1, **wanted))
    more = "the first " if len(runs) > MOST else ""
    shown = ", ".join(f"{name} {value}" for name, value in wanted.items())
    return context.render(
        "confirm.html",
        verb=str(verb),
        label=LABELS[verb],
        does=DOES[verb],
        ids=[(str(run), quoted(str(run))) for run in runs[:MOST]],
        count=f"{more}{counted(min(MOST, len(runs)), 'run')} that fit",
        fitting=shown,
        filters=[(PREFIX + name, value) for name, value in wanted.items()],
        reason=reason,
        back=context.request.form.get("back"),
    )


def _do(context: Context, verb: Verb, reason: str, wanted: dict[str, Any]) -> Response:
    done, left = 0, False
    refused: list[str] = []
    until = time.monotonic() + LONGEST
    for result in context.runs.apply_all(verb, reason=reason, who=context.who, most=MOST, **wanted):
        if result.refused:
            refused.append(mask_text(result.refused).rstrip("."))
        else:
            done += 1
        if time.monotonic() > until:
            left = True
            break
    parts = [f"{LABELS[verb]}: done for {counted(done, 'run')}."]
    if refused:
        parts.append(f"Refused for {counted(len(refused), 'run')}: {'. '.join(refused[:_NAMED])}.")
    if left or done + len(refused) >= MOST:
        parts.append("There may be more: do it again.")
    return context.back(" ".join(parts), kind="refused" if refused else "done")
