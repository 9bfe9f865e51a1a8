"""The admin, with the link to runs on the pages of groups."""

# mypy: disable-error-code="misc"
from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin
from django.contrib.auth.models import Group
from django.urls import path

from celery_graceful.contrib.django.run_links import RunLinkMixin

admin.site.unregister(Group)


@admin.register(Group)
class LinkedGroupAdmin(RunLinkMixin, GroupAdmin):
    """Without ``fields`` or ``fieldsets``."""


urlpatterns = [path("back-office/", admin.site.urls)]
