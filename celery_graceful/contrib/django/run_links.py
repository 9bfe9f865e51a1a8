"""Links from a model's pages in the admin to the run that made or changed the object, by a tag.

A run gets the tag where it is started, and the object's page shows it::

    graceful.runs.start("shop.import_file", [upload.pk], tags=[run_tag(upload)])

    @admin.register(Upload)
    class UploadAdmin(RunLinkMixin, admin.ModelAdmin): ...
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from django.urls import NoReverseMatch
from django.utils.html import format_html
from django.utils.http import urlencode

from celery_graceful.contrib.django.admin_pages import mount, permission
from celery_graceful.errors import GracefulError
from celery_graceful.text.printable import printable
from celery_graceful.web.http import VIEW

if TYPE_CHECKING:
    from celery_graceful.runs.plain_run import Page, Run

__all__ = ["RunLinkMixin", "run_link", "run_tag"]

logger = logging.getLogger("celery_graceful.web")


def run_tag(obj: Any) -> str:
    """The tag of an object's runs: ``"orders.upload:42"``."""
    return f"{obj._meta.label_lower}:{obj.pk}"


def run_link(tag: str, *, user: Any, site: str = "admin") -> str:
    """A link to the run that has a tag, with its state; to all such runs where it is not found.

    It reads at most one page of runs, and never raises because of the store: without it, the link
    is to the list.

    Args:
        tag: that a run was started with.
        user: who sees it; nobody without the permission ``celery_graceful.view_run`` sees a link.
        site: the name of the admin site.
    """
    if not tag or not user.has_perm(permission(VIEW)):
        return ""
    try:
        base = mount(site)
    except NoReverseMatch:  # the project has no admin
        return ""
    every = f"{base}/?{urlencode({'state': 'all', 'tag': tag})}"
    try:
        found = _runs_with(tag)
    except GracefulError as exc:
        logger.warning("The run with the tag %s cannot be looked up: %s", printable(tag), exc)
        return str(format_html('<a href="{}">Runs</a> (the store does not answer)', every))
    if not found.items:
        if found.next is None:
            return ""
        return str(format_html('<a href="{}">Runs with the tag {}</a>', every, printable(tag)))
    run = found.items[0]
    address = f"{base}/runs/{_id_in_address(run)}"
    link = format_html('<a href="{}">{}</a> {}', address, printable(run.task), run.state)
    if len(found.items) > 1 or found.next is not None:
        link = format_html('{}, <a href="{}">all runs</a>', link, every)
    return str(link)


class RunLinkMixin:
    """Shows the run of an object on its page in the admin, to those who may see runs."""

    #: The name beside the link.
    run_link_title = "Celery run"

    def run_tag(self, obj: Any) -> str:
        """The tag of the object's run; empty for none. By default :func:`run_tag`."""
        return run_tag(obj)

    def get_readonly_fields(self, request: Any, obj: Any = None) -> Any:
        """The admin's own, and the link where there is one."""
        return (*super().get_readonly_fields(request, obj), *self._run_link(request, obj))  # type: ignore[misc]

    def get_fieldsets(self, request: Any, obj: Any = None) -> Any:
        """The admin's own, and one for the link where they have no place for it."""
        fieldsets = super().get_fieldsets(request, obj)  # type: ignore[misc]
        shown = [field for field in self._run_link(request, obj) if field not in _in(fieldsets)]
        return [*fieldsets, (None, {"fields": shown})] if shown else fieldsets

    def _run_link(self, request: Any, obj: Any) -> list[Callable[[Any], str]]:
        """A field with the link, made once for each request."""
        if obj is None:
            return []
        kept = request.__dict__.setdefault("_celery_run_links", {})
        if obj.pk not in kept:
            site = self.admin_site.name  # type: ignore[attr-defined]
            kept[obj.pk] = self._field(run_link(self.run_tag(obj), user=request.user, site=site))
        found: list[Callable[[Any], str]] = kept[obj.pk]
        return found

    def _field(self, link: str) -> list[Callable[[Any], str]]:
        def celery_run(_: Any) -> str:
            return link

        celery_run.short_description = self.run_link_title  # type: ignore[attr-defined]
        return [celery_run] if link else []


def _in(fieldsets: Any) -> list[Any]:
    from django.contrib.admin.utils import flatten_fieldsets

    found: list[Any] = flatten_fieldsets(fieldsets)
    return found


def _runs_with(tag: str) -> Page[Run]:
    from celery_graceful.contrib.django import graceful

    return graceful.runs.list(tag=tag, limit=2)


def _id_in_address(run: Run) -> str:
    """The run's task and id, which together are never another's."""
    return quote(f"{run.task}[{run.id}]", safe="/:@,+[]~!$&'()*;=")
