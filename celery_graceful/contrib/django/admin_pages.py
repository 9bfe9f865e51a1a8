"""A request of Django's to the screen, and the screen's answer within a page of the admin."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from django.http import HttpResponse, HttpResponseRedirect
from django.middleware.csrf import get_token
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import escape
from django.utils.safestring import mark_safe

from celery_graceful.errors import SettingsError
from celery_graceful.web.http import PERMISSIONS, Fields, Request, Response
from celery_graceful.web.rendering.templates import static_version
from celery_graceful.web.screen_options import ScreenOptions

if TYPE_CHECKING:
    from celery_graceful.web.dispatch import Screen

TEMPLATE = "admin/celery_graceful/screen.html"
#: The screen's headers that are sent on. Policies are the project's: its middleware sets them, and
#: the admin's own scripts and styles may come from anywhere.
_SENT_ON = frozenset(("allow", "cache-control", "content-type", "etag", "location", "retry-after"))
#: Between the title and the rest of what the screen renders; its texts are escaped.
_SEAM = "<!--end of title-->"
_screens: WeakKeyDictionary[Any, Screen] = WeakKeyDictionary()


def mount(site: str = "admin") -> str:
    """What all paths of the screen begin with: ``/admin/celery_graceful/run``."""
    address: str = reverse("admin:celery_graceful_run_changelist", current_app=site)
    return address.rstrip("/")


def page(site: Any, request: Any, path: str) -> HttpResponse:
    """A page of the screen, for a user of the admin.

    Args:
        site: the admin site.
        request: Django's; who may see the admin has been checked.
        path: below the mount, without the slash that it begins with.
    """
    try:
        screen = _screen()
    except SettingsError as exc:
        return _in_admin(site, request, 500, "Celery runs", f"<p>{escape(str(exc))}</p>")
    asked = _asked(site, request, path)
    answer = screen.answer(asked)
    if not answer.header("Content-Type").startswith("text/html"):
        return _sent(answer)
    title, _, content = answer.body.decode().partition(_SEAM)
    if asked.poll:
        # The script takes over the title and the part that changes, and knows the page by its tag.
        whole = f"<title>{title} | {escape(_site_title(site))}</title>{content}"
        return _sent(answer, whole.encode())
    return _sent_on(answer, _in_admin(site, request, answer.status, title, content))


def static(request: Any, path: str) -> HttpResponse:
    """A stylesheet or script of the screen, for everybody."""
    try:
        return _sent(_screen().answer(Request("GET", f"/{path}", headers=_headers(request))))
    except SettingsError as exc:
        return HttpResponse(str(exc), status=500, content_type="text/plain; charset=utf-8")


def _screen() -> Screen:
    """The screen of the project's Celery app.

    Raises:
        SettingsError: there is no app, or packages for the screen are not installed.
    """
    from celery_graceful._celery.task.current_app import current_app_if_any
    from celery_graceful.web.dispatch import Screen

    app = current_app_if_any()
    if app is None:
        raise SettingsError(
            "No Celery app was made when Django started. Write `from .celery import app as"
            " celery_app` in the __init__.py beside settings.py"
        )
    screen = _screens.get(app)
    if screen is None:
        # Django has checked the host.
        options = ScreenOptions(hosts=None, templates=Path(__file__).with_name("screen_templates"))
        screen = _screens.setdefault(app, Screen(app, options))
    return screen


# -- asking ----------------------------------------------------------------------------------


def is_poll(request: Any) -> bool:
    """Whether the script of an open page asks."""
    return "X-Graceful-Poll" in request.headers


def _asked(site: Any, request: Any, path: str) -> Request:
    user, headers = request.user, _headers(request)
    if not is_poll(request):
        # The admin around a page depends on more than the tag does.
        headers.pop("if-none-match", None)
    return Request(
        request.method,
        f"/{path}",
        Fields.of(dict(request.GET.lists())),
        Fields.of(dict(request.POST.lists())) if request.method == "POST" else Fields(),
        headers,
        user=user.get_username(),
        can=frozenset(name for name in PERMISSIONS if user.has_perm(permission(name))),
        mount=mount(site.name),
        secure=request.is_secure(),
        address=request.META.get("REMOTE_ADDR") or "",
        token=("csrfmiddlewaretoken", get_token(request)),
    )


def permission(name: str) -> str:
    """Django's name of a permission of the screen: ``celery_graceful.operate_run``."""
    return f"celery_graceful.{name}_run"


def _headers(request: Any) -> dict[str, str]:
    headers = {name.lower(): value for name, value in request.headers.items()}
    # The name behind a proxy that the settings trust; Django compares it with ALLOWED_HOSTS.
    return {**headers, "host": request.get_host()}


# -- answering -------------------------------------------------------------------------------


def _in_admin(site: Any, request: Any, status: int, title: str, content: str) -> HttpResponse:
    base = mount(site.name)
    context = {
        **site.each_context(request),
        "title": mark_safe(title),  # Jinja has escaped both
        "screen": mark_safe(content),
        "screen_runs": f"{base}/",
        "screen_style": f"{base}/static/admin.css?v={static_version('admin.css')}",
        "screen_script": f"{base}/static/graceful.js?v={static_version('graceful.js')}",
    }
    request.current_app = site.name
    return TemplateResponse(request, TEMPLATE, context, status=status)


def _site_title(site: Any) -> str:
    return str(site.site_title)


def _sent(answer: Response, body: bytes | None = None) -> HttpResponse:
    content = answer.body if body is None else body
    if where := answer.header("Location"):
        return _sent_on(answer, HttpResponseRedirect(where, status=answer.status))
    sent = _sent_on(answer, HttpResponse(content, status=answer.status))
    if not answer.header("Content-Type"):
        del sent["Content-Type"]
    return sent


def _sent_on(answer: Response, sent: HttpResponse) -> HttpResponse:
    for name, value in answer.headers:
        if name.lower() == "set-cookie":
            sent.cookies.load(value)
        elif name.lower() in _SENT_ON:
            sent[name] = value
    return sent
