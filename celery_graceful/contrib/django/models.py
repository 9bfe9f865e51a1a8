"""The model that gives runs their place in the admin, and their permissions. It has no table."""

from __future__ import annotations

from django.db import models


class Run(models.Model):  # type: ignore[misc]  # Django ships no types
    """A run of an iterable task, as the admin's index and its permissions name it.

    Runs are in the store of the Celery app: query them with ``graceful.runs``.
    """

    class Meta:
        managed = False
        app_label = "celery_graceful"
        default_permissions = ("view",)
        permissions = (
            ("operate_run", "Can pause, resume, cancel and retry runs"),
            ("start_run", "Can start runs"),
            ("maintain_run", "Can begin and end maintenance"),
        )
        verbose_name = "run"
        verbose_name_plural = "runs"
