"""The migration operation that creates the table of ``Atomic.django``."""

from __future__ import annotations

from typing import Any

from django.db import router
from django.db.migrations.operations.base import Operation

from celery_graceful.atomic.django_table import DROP_TABLE, VENDORS, create_table


class CreateCheckpoints(Operation):  # type: ignore[misc]  # Django ships no types
    """Creates ``graceful_checkpoints`` if an atomic run has not; ``sqlmigrate`` shows how."""

    reversible = True
    reduces_to_sql = True

    def state_forwards(self, app_label: str, state: Any) -> None:
        """There is no model."""

    def database_forwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        """Create it, if the routers want it in this database."""
        if _is_wanted(schema_editor, app_label):
            schema_editor.execute(create_table(schema_editor.connection.vendor), params=None)

    def database_backwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        """Drop it, and the checkpoints in it."""
        if _is_wanted(schema_editor, app_label):
            schema_editor.execute(DROP_TABLE, params=None)

    def describe(self) -> str:
        """What ``migrate --plan`` prints."""
        return "Create the table of the checkpoints of atomic runs"

    @property
    def migration_name_fragment(self) -> str:
        """For the name of a migration that is generated."""
        return "create_checkpoints"


def _is_wanted(schema_editor: Any, app_label: str) -> bool:
    connection = schema_editor.connection
    return connection.vendor in VENDORS and router.allow_migrate(connection.alias, app_label)
