"""Options of a task that override a setting; they share the settings' parsers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from celery_graceful.errors import SettingsError
from celery_graceful.settings.table import OPTIONS
from celery_graceful.settings.values import wrong_value


def option_problems(values: Mapping[str, object]) -> list[str]:
    """One message for each wrong value among a task's options; other names are left alone.

    :param values: option name (see :data:`OPTIONS`) to what the user wrote; ``None`` means the
        setting, 0 means off.
    """
    found = []
    for name, value in values.items():
        if name in OPTIONS:
            try:
                parse_option(name, value)
            except SettingsError as exc:
                found.append(str(exc))
    return found


def parse_option(name: str, value: object) -> Any:
    """The value of a task's option: ``None`` (use the setting), 0 (off), or as for the setting.

    :raises SettingsError: when the value is wrong.
    :raises KeyError: when ``name`` is not in :data:`OPTIONS`.
    """
    setting = OPTIONS[name]
    if value is None:
        return None
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value == 0:
        return 0
    try:
        return setting.parse(value)
    except ValueError as exc:
        raise SettingsError(
            wrong_value(f"The option {name}", value, exc, setting.expected, setting.example)
        ) from exc
