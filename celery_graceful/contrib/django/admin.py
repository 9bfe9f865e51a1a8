"""Celery runs in the Django admin: the pages of the web screen, with its look and its rights."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpResponse
from django.urls import re_path

from celery_graceful.contrib.django import admin_pages
from celery_graceful.contrib.django.models import Run


@admin.register(Run)
class RunAdmin(admin.ModelAdmin):  # type: ignore[misc]  # Django ships no types
    """The screen in place of the pages that the admin makes of a model."""

    def has_add_permission(self, request: Any) -> bool:
        """Runs are started on a page of the screen."""
        return False

    def has_change_permission(self, request: Any, obj: Any = None) -> bool:
        """The screen has permissions of its own: ``operate_run``, ``start_run``, ``maintain_run``.

        For the admin's index they are all permission to see.
        """
        return False

    def has_delete_permission(self, request: Any, obj: Any = None) -> bool:
        """Runs are deleted on a page of the screen."""
        return False

    def get_urls(self) -> list[Any]:
        """All paths below that of the model are the screen's."""
        name = f"{self.opts.app_label}_{self.opts.model_name}"
        return [
            re_path(r"^$", self._page, {"path": ""}, name=f"{name}_changelist"),
            re_path(r"^(?P<path>static/.*)$", self._static),
            re_path(r"^(?P<path>.+)$", self._page, name=f"{name}_page"),
        ]

    def _page(self, request: Any, path: str) -> HttpResponse:
        site = self.admin_site
        if admin_pages.is_poll(request) and not site.has_permission(request):
            return HttpResponse(status=401)  # not the login page, which the script cannot show

        def shown(request: Any) -> HttpResponse:
            return admin_pages.page(site, request, path)

        answer: HttpResponse = site.admin_view(shown)(request)
        return answer

    def _static(self, request: Any, path: str) -> HttpResponse:
        return admin_pages.static(request, path)
