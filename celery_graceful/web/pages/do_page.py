"""``/do``: a verb for one run or several."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

from celery_graceful import errors
from celery_graceful.text.counting import counted
from celery_graceful.web.http import Response
from celery_graceful.web.pages import failure

if TYPE_CHECKING:
    from celery_graceful.web.page_context import Context

VERBS = ("pause", "resume", "cancel", "resend")
#: Runs that are changed by one request.
MOST = 500
#: Refusals that are named.
_NAMED = 3


def page(context: Context) -> Response:
    """Apply a verb to the runs that are named, one after the other."""
    form = context.request.form
    verb = form.get("verb")
    ids = [unquote(each, errors="surrogatepass") for each in form.all("id")]
    if verb not in VERBS:
        return failure.page(context, 400, "Unknown verb", f"There is no verb “{verb[:40]}”.")
    if len(ids) > MOST:
        return failure.page(context, 400, "Too many runs", f"Select at most {MOST}.")
    if not ids:
        return context.back("No run was selected: nothing was changed.", kind="refused")
    done, refused = 0, []
    for each in ids:
        try:
            getattr(context.runs, verb)(each, who=context.who)
            done += 1
        except (errors.RunRefused, errors.UnknownRun) as exc:
            refused.append(str(exc))
    message = f"Done: {verb}, {counted(done, 'run')}." if done else ""
    if refused:
        more = "" if len(refused) <= _NAMED else f" And {len(refused) - _NAMED} more."
        message += (
            f" Refused for {counted(len(refused), 'run')}: {' '.join(refused[:_NAMED])}{more}"
        )
    return context.back(message.strip(), kind="refused" if refused else "done")
