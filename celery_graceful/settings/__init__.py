"""All ``graceful_*`` settings: the table, and reading it from an app's configuration."""

from __future__ import annotations

from celery_graceful.settings.read_settings import (
    Settings,
    option_problems,
    parse_option,
    problems,
    read,
)
from celery_graceful.settings.setting import PREFIX, Setting
from celery_graceful.settings.setting_table import OPTIONS, SETTINGS

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
]
