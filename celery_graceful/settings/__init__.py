"""All ``graceful_*`` settings: the table, and reading it from an app's configuration."""

from __future__ import annotations

from celery_graceful.settings.options import option_problems, parse_option
from celery_graceful.settings.reading import Settings, problems, read
from celery_graceful.settings.table import OPTIONS, PREFIX, SETTINGS, Setting, table_markdown

__all__ = [
    "OPTIONS",
    "PREFIX",
    "SETTINGS",
    "Setting",
    "Settings",
    "option_problems",
    "parse_option",
    "problems",
    "read",
    "table_markdown",
]
