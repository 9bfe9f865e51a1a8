"""What Django loads for ``celery_graceful.contrib.django`` in ``INSTALLED_APPS``."""

from __future__ import annotations

from django.apps import AppConfig


class CeleryGracefulConfig(AppConfig):  # type: ignore[misc]  # Django ships no types
    """Adds the plugin to the Celery apps of a Django project."""

    name = "celery_graceful.contrib.django"
    label = "celery_graceful"
    verbose_name = "Celery runs"
    default = True
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Called by Django once in each process; connects to nothing."""
        from celery_graceful.contrib.django.plugged_apps import plug_apps

        plug_apps()
        _register_checks()


def _register_checks() -> None:
    from celery_graceful.contrib.django import system_checks

    system_checks.register()
