"""``celery worker --maintenance-force`` where Django adds the plugin.

``celery`` reads its command line before Django is set up, and so before the Django app has added
the plugin and its option. Where ``Graceful(app)`` stands in the project's code, that adds it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import click

#: As in :mod:`celery_graceful.plugin`, which is not imported for every ``celery`` command.
FORCE = "--maintenance-force"
DJANGO_APP = "celery_graceful.contrib.django"


class ForceOption(click.Option):
    """The option, as if it were not there for a project without the plugin."""

    def __init__(self) -> None:
        super().__init__((FORCE,), is_flag=True, hidden=True, expose_value=False)

    def handle_parse_result(
        self, ctx: click.Context, opts: Mapping[str, Any], args: list[str]
    ) -> tuple[Any, list[str]]:
        """Hand it on where the Django app is installed.

        Raises:
            click.NoSuchOption: it is not.
        """
        value, args = super().handle_parse_result(ctx, opts, args)
        if value:
            if not _is_installed():
                raise click.NoSuchOption(FORCE, ctx=ctx)
            ctx.params["maintenance_force"] = True
        return value, args


def offer() -> None:
    """Add the option to the worker's command, if this is the program ``celery``."""
    module: Any = sys.modules.get("celery.bin.worker")
    if module is not None:
        module.worker.params.append(ForceOption())


def _is_installed() -> bool:
    """Whether the project's settings name the Django app."""
    conf = sys.modules.get("django.conf")
    if conf is None:
        return False
    installed = conf.settings.INSTALLED_APPS
    return any(name == DJANGO_APP or name.startswith(f"{DJANGO_APP}.") for name in installed)
