"""The SQL store in a database of Django's, whose tables are made by migrations."""

from __future__ import annotations

from sqlalchemy import Engine

from celery_graceful.stores.sql.django_alias import alias_of
from celery_graceful.stores.sql.store import SqlStore


class DjangoStore(SqlStore):
    """A store on connections that Django makes: ``django://alias``."""

    def __init__(self, engine: Engine, namespace: str, *, address: str) -> None:
        super().__init__(engine, namespace, address=address)
        self._advice = (
            "If its tables (graceful_runs and others) are missing, have"
            ' "celery_graceful.contrib.django" in INSTALLED_APPS and run'
            f" `python manage.py migrate celery_graceful{_database(alias_of(address))}`. Else check"
            " DATABASES, and that its user may write to these tables."
        )

    @staticmethod
    def _prepare(engine: Engine) -> None:
        """Create nothing: that is what migrations are for."""


def _database(alias: str) -> str:
    return "" if alias == "default" else f" --database {alias}"
