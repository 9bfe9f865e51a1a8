"""Reading the settings of an app and the options of a task, and finding what is wrong with them."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from celery_graceful.errors import SettingsError
from celery_graceful.settings.setting import PREFIX, wrong_value
from celery_graceful.settings.setting_table import OPTIONS, SETTINGS

_MISSING: Any = object()


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one app, with defaults filled in; times in seconds."""

    # Both may hold a password.
    store: str | None = field(repr=False)
    store_options: Mapping[str, Any] | None = field(repr=False)
    namespace: str | None
    checkpoint_interval: float
    max_execution_time: float | None
    max_crashes: int
    lease_ttl: float
    run_retention: float
    release_timeout: float
    store_timeout: float
    store_patience: float | None
    without_store: str
    rescue_interval: float
    resume_queue: str | None
    resume_priority: int | None
    progress: bool
    renew_visibility: bool
    grace_period: float | None
    ask_kubernetes: bool
    kill_margin: float | None
    doctor_at_start: bool
    mask: frozenset[str] | Callable[..., Any]
    leaked_processes: str
    maintenance_poll: float
    maintenance_exempt_queues: frozenset[str]
    maintenance_beat: Mapping[str, str]


def read(conf: Mapping[str, Any]) -> Settings:
    """The settings in ``conf``, an ``app.conf`` or any mapping, with defaults filled in.

    Raises:
        SettingsError: names everything that :func:`problems` finds.
    """
    found = problems(conf)
    if found:
        raise SettingsError("\n".join(found))
    resolved = {}
    for name, line in SETTINGS.items():
        value = _given(conf, name)
        resolved[line.attribute] = line.default if value is _MISSING else line.parse(value)
    return Settings(**resolved)


def problems(conf: Mapping[str, Any]) -> list[str]:
    """One message for each unknown ``graceful_*`` name and each wrong value in ``conf``.

    Reading an ``app.conf`` makes Celery load its configuration, nothing more.
    """
    # The first look-up lets a pending app.conf load; only then are its keys complete.
    conf.get(PREFIX)
    return [*_unknown(conf), *_wrong(conf)]


def _wrong(conf: Mapping[str, Any]) -> Iterator[str]:
    for name, line in SETTINGS.items():
        value = _given(conf, name)
        if value is _MISSING:
            continue
        try:
            line.parse(value)
        except ValueError as exc:
            spelled = _spelled(name, _prefix(conf))
            yield wrong_value(spelled, value, exc, line.expected, line.example)


def _given(conf: Mapping[str, Any], name: str) -> Any:
    """What the user set; under a namespace Celery 5.5 does not find what was set on the app."""
    changes = getattr(conf, "changes", None) or {}
    return changes.get(name, conf.get(name, _MISSING))


def _prefix(conf: Mapping[str, Any]) -> str:
    """The namespace that the app was configured with, such as ``CELERY_``; mostly empty."""
    return getattr(conf, "prefix", None) or ""


def _spelled(name: str, prefix: str) -> str:
    """How Celery wants ``name`` written under ``prefix``: in the prefix's case."""
    full = prefix + name
    return full.upper() if prefix.isupper() else full.lower()


def _unknown(conf: Mapping[str, Any]) -> Iterator[str]:
    prefix = _prefix(conf)
    for key in conf:
        if isinstance(key, str) and "grac" in key.lower():
            message = _key_problem(key, prefix, conf)
            if message:
                yield message


def _key_problem(key: str, prefix: str, conf: Mapping[str, Any]) -> str | None:
    bare = key.lower()
    for start in (prefix.lower(), "celery_"):
        bare = bare.removeprefix(start)
    read_by_celery = key in (bare, _spelled(bare, prefix))
    if bare in SETTINGS:
        if read_by_celery:
            return None
        return f"The setting {key} is not read when written so; write {_spelled(bare, prefix)}"
    if read_by_celery and bare.startswith(PREFIX):
        value = conf.get(key)
        # A celeryconfig module may hold helpers of its own.
        if isinstance(value, ModuleType) or callable(value):
            return None
        return f"The setting {key} is unknown; {_nearest(bare, prefix, cutoff=0.0)}"
    # Not ours by its name; a typo in the prefix is told from others' settings by nearness.
    near = bare.startswith("grac") and _nearest(bare, prefix, cutoff=0.9)
    return f"The setting {key} is unknown; {near}" if near else None


def _nearest(bare: str, prefix: str, *, cutoff: float) -> str:
    words = sorted(bare.split("_"))
    near = [name for name in SETTINGS if sorted(name.split("_")) == words]
    near = near or difflib.get_close_matches(bare, SETTINGS, n=1, cutoff=cutoff)
    return f"did you mean {_spelled(near[0], prefix)}?" if near else ""


# -- options ---------------------------------------------------------------------------------


def option_problems(values: Mapping[str, object]) -> list[str]:
    """One message for each wrong value among a task's options; other names are left alone.

    Args:
        values: what the user wrote, by option name (see :data:`OPTIONS`).
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

    Raises:
        SettingsError: the value is wrong.
        KeyError: ``name`` is not in :data:`OPTIONS`.
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
