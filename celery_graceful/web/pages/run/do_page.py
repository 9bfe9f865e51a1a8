"""``/do``: a verb for one run or several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import unquote

from kombu.exceptions import OperationalError

from celery_graceful import errors
from celery_graceful.model.run.verbs import DOES, Verb
from celery_graceful.model.run.verdict import Verdict
from celery_graceful.text.counting import counted
from celery_graceful.text.masking import mask_text
from celery_graceful.web.http import Response
from celery_graceful.web.pages import failure
from celery_graceful.web.pages.run import do_matching, run_page
from celery_graceful.web.pages.run.verb_arguments import WrongArguments, arguments_of
from celery_graceful.web.rendering.shown_runs import quoted, state_of
from celery_graceful.web.rendering.shown_runs import run_page as shown_page
from celery_graceful.web.rendering.shown_verbs import BULK, BY_STATE, DANGER, LABELS

if TYPE_CHECKING:
    from celery_graceful.runs.operating.changes import Change
    from celery_graceful.web.page_context import Context

#: Runs that are changed by one request.
MOST = 500
#: Characters of a reason.
_LONGEST_REASON = 400
#: Refusals that are named.
_NAMED = 3
#: After these the run's own page has nothing more to show.
_GONE = frozenset({Verb.DELETE})
#: The field at which an error is shown that concerns the whole form.
_FIRST = {Verb.ADJUST: "checkpoint_interval"}


def page(context: Context) -> Response:
    """Apply a verb to the runs that are named."""
    form = context.request.form
    try:
        verb = Verb(form.get("verb"))
    except ValueError:
        name = form.get("verb")[:40]
        return failure.page(context, 400, "Unknown verb", f"There is no verb “{name}”.")
    if form.get("everything"):
        if verb not in BULK:
            return failure.page(context, 400, "Not for several runs", f"Open a run to {verb} it.")
        return do_matching.page(context, verb, _reason(context))
    ids = [unquote(each, errors="surrogatepass") for each in form.all("id")]
    if len(ids) > MOST:
        return failure.page(context, 400, "Too many runs", f"Select at most {MOST}.")
    if not ids:
        return context.back("No run was selected: nothing was changed.", kind="refused")
    if form.get("one"):
        return _one(context, verb, ids[0])
    if verb not in BULK:
        return failure.page(context, 400, "Not for several runs", f"Open a run to {verb} it.")
    if verb in DANGER and not form.get("confirmed"):
        return _ask(context, verb, ids)
    return _several(context, verb, ids)


def _reason(context: Context) -> str:
    return context.request.form.get("reason").strip()[:_LONGEST_REASON]


# -- one run ---------------------------------------------------------------------------------


def _one(context: Context, verb: Verb, name: str) -> Response:
    form = context.request.form
    try:
        given = arguments_of(verb, form, lambda: context.runs.get(name))
        change = context.runs.apply(
            verb,
            name,
            reason=_reason(context),
            who=context.who,
            expected_state=(form.get("state") or None) if verb in BY_STATE else None,
            **given,
        )
    except WrongArguments as exc:
        fields = dict(form.pairs[::-1])  # the first of a name
        return run_page.show(
            context, name, status=422, given=fields, errors=exc.errors, opened=str(verb)
        )
    except (errors.CursorError, ValueError) as exc:
        field = "cursor" if "cursor" in form else _FIRST.get(verb, "reason")
        return run_page.show(
            context,
            name,
            status=422,
            given=dict(form.pairs[::-1]),
            errors={field: str(exc)},
            opened=str(verb),
        )
    except errors.NotSent as exc:
        return context.back(mask_text(str(exc)), kind="trouble")
    except errors.RunRefused as exc:
        return context.back(f"Refused: {exc}", kind="refused")
    message, kind = said(verb, change), "trouble" if change.trouble else "done"
    if verb in _GONE:
        return context.redirect("/", message, kind=kind)
    if verb is Verb.FORK and change.sent:
        address = shown_page(context, change.run.task, change.sent)[len(context.request.mount) :]
        return context.back(message, kind=kind, to=address)
    return context.back(message, kind=kind)


def said(verb: Verb, change: Change) -> str:
    """What came of a change, in a few sentences."""
    before, after = state_of(change.before).name, state_of(change.run).name
    why = f", {change.why}" if change.why and change.why != after else ""
    if change.verdict is Verdict.ASKED:
        text = f"{LABELS[verb]}: asked{why}."
    elif before != after:
        text = f"{LABELS[verb]}: {before} → {after}{why}."
    else:
        text = f"{LABELS[verb]}: done{why}; the run is {after}."
    if change.trouble:
        text += f" But {change.trouble}."
    if change.undo is not None and change.undo in LABELS:
        text += f" “{LABELS[change.undo]}” undoes it."
    return text.replace("..", ".")


# -- several runs ------------------------------------------------------------------------------


def _ask(context: Context, verb: Verb, ids: Sequence[str]) -> Response:
    """A page that asks first: for what can be undone with trouble only."""
    return context.render(
        "confirm.html",
        verb=str(verb),
        label=LABELS[verb],
        does=DOES[verb],
        ids=[(each, quoted(each)) for each in ids],
        fitting="",
        filters=(),
        count=counted(len(ids), "run"),
        reason=_reason(context),
        back=context.request.form.get("back"),
    )


def _several(context: Context, verb: Verb, ids: Sequence[str]) -> Response:
    reason = _reason(context)
    done = 0
    refused: list[str] = []
    for each in ids:
        try:
            context.runs.apply(verb, each, reason=reason, who=context.who)
            done += 1
        except errors.StoreUnavailable as exc:
            left = counted(len(ids) - done - len(refused), "run")
            refused.append(f"the store does not answer, {left} left as they were: {exc}")
            break
        except (errors.GracefulError, OperationalError) as exc:
            refused.append(mask_text(str(exc)).rstrip("."))
    parts = [f"{LABELS[verb]}: done for {counted(done, 'run')}."] if done else []
    if refused:
        parts.append(f"Refused for {counted(len(refused), 'run')}: {'. '.join(refused[:_NAMED])}.")
    if len(refused) > _NAMED:
        parts.append(f"And {len(refused) - _NAMED} more.")
    return context.back(" ".join(parts), kind="refused" if refused else "done")
