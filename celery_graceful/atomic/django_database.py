"""A database of Django's settings, for atomic runs; Django is imported when a run begins."""

from __future__ import annotations

import sys
from difflib import get_close_matches
from importlib.util import find_spec
from typing import TYPE_CHECKING

from celery_graceful.atomic.database import Claim, Work
from celery_graceful.errors import DefinitionError

if TYPE_CHECKING:
    from celery_graceful.atomic.django_table import Ready


class DjangoDatabase:
    """Works through Django's connection ``using``; see :meth:`~celery_graceful.Atomic.django`."""

    def __init__(self, using: str) -> None:
        self.using = using
        self._ready: Ready | None = None

    def problems(self) -> list[str]:
        """What is wrong with ``using``, as far as that can be seen without loading settings."""
        if find_spec("django") is None:
            return ["atomic: Django is not installed; pip install 'celery-graceful[django]'"]
        if not isinstance(self.using, str) or not self.using:
            return [
                f"atomic: Atomic.django(using={self.using!r:.200}) needs the alias of a database "
                'in settings.DATABASES, such as "default"'
            ]
        conf = sys.modules.get("django.conf")
        if conf is None or not conf.settings.configured:
            return []  # not known yet; a run finds out
        return [f"atomic: {fault}" for fault in _faults_of(self.using)]

    def open(self, task: str, *, carried: bool) -> Work:
        self._check_settings(task)
        from celery_graceful.atomic.django_table import Ready
        from celery_graceful.atomic.django_work import DjangoWork

        if self._ready is None:
            self._ready = Ready()
        return DjangoWork(self.using, task, self._ready, carried=carried)

    def forget(self, claim: Claim) -> None:
        from celery_graceful.atomic.django_work import forget

        forget(self.using, claim)

    def _check_settings(self, task: str) -> None:
        from django.core.exceptions import ImproperlyConfigured

        try:
            faults = _faults_of(self.using)
        except ImproperlyConfigured as exc:
            raise DefinitionError(
                f"{task}: Atomic.django(using={self.using!r}) finds no settings of Django ({exc}). "
                "Set DJANGO_SETTINGS_MODULE where the Celery app is made, before its first use, as "
                'in os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")'
            ) from exc
        if faults:
            raise DefinitionError(f"{task}: {faults[0]}")


def _faults_of(using: str) -> list[str]:
    """What is wrong with an alias; reads Django's settings."""
    from django.db import connections

    known = connections.settings
    if using not in known:
        similar = get_close_matches(using, list(known), n=1)
        guess = f" Did you mean {similar[0]!r}?" if similar else ""
        return [
            f"Atomic.django(using={using!r}) names no database of settings.DATABASES, which has "
            f"{', '.join(map(repr, sorted(known)))}.{guess}"
        ]
    if known[using].get("ENGINE") == "django.db.backends.dummy":
        return [
            f"Atomic.django(using={using!r}): settings.DATABASES[{using!r}] has no ENGINE. Set it, "
            'for example to "django.db.backends.postgresql"'
        ]
    return []
