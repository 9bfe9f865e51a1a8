"""The migration operation that creates the tables of runs and of ``Atomic.django``.

There are no models: their keys have several columns, which models have since Django 5.2 only, and
nothing but the store reads them. A test compares them with those of ``stores/sql/tables.py``, which
are not imported: migrations run without SQLAlchemy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import router
from django.db.migrations.operations.base import Operation

from celery_graceful.atomic import django_table as checkpoints

#: The mark of a failed run in what the store writes, as in ``stores/sql/tab_indexes.py``.
_MARK = """'"outcome":"failed"'"""

#: How a kind of database writes the types; keys are compared byte by byte in each.
_TYPES: Mapping[str, Mapping[str, str]] = {
    "postgresql": {
        "key": "varchar(255)",
        "short_key": "varchar(16)",
        "long_key": "varchar(490)",
        "long_text": "text",
        "bytes": "bytea",
        "double": "double precision",
        "tabs": "",
    },
    "sqlite": {
        "key": "varchar(255)",
        "short_key": "varchar(16)",
        "long_key": "varchar(490)",
        "long_text": "text",
        "bytes": "blob",
        "double": "double",
        "tabs": "",
    },
    "mysql": {
        "key": "varbinary(1020)",
        "short_key": "varbinary(64)",
        "long_key": "varbinary(1960)",
        "long_text": "longtext",
        "bytes": "longblob",
        "double": "double",
        "tabs": f"""
    tab varchar(8) AS (CASE WHEN state = 'paused' THEN 'paused'
        WHEN expires_at IS NOT NULL AND instr(extra, {_MARK}) > 0 THEN 'failed' END) STORED,
    tab_at double AS (CASE WHEN state = 'paused' THEN started_at
        WHEN expires_at IS NOT NULL AND instr(extra, {_MARK}) > 0 THEN expires_at END) STORED,""",
    },
}

_TABLES: Mapping[str, str] = {
    "graceful_runs": """
    namespace {key} NOT NULL,
    task {key} NOT NULL,
    id {key} NOT NULL,
    version bigint NOT NULL,
    state varchar(16) NOT NULL,
    fence bigint NOT NULL,
    owner text,
    due_at {double},
    checkpoint {bytes},
    steps bigint NOT NULL,
    requested varchar(16),
    result {bytes},
    envelope {bytes},
    extra {long_text} NOT NULL,
    started_at {double} NOT NULL,
    ended_at {double},
    expires_at {double},{tabs}
    PRIMARY KEY (namespace, task, id)
""",
    "graceful_quarantined_items": """
    namespace {key} NOT NULL,
    task {key} NOT NULL,
    id {key} NOT NULL,
    ordinal bigint NOT NULL,
    entry {bytes} NOT NULL,
    PRIMARY KEY (namespace, task, id, ordinal)
""",
    "graceful_quarantine_expiry": """
    namespace {key} NOT NULL,
    task {key} NOT NULL,
    id {key} NOT NULL,
    expires_at {double} NOT NULL,
    PRIMARY KEY (namespace, task, id)
""",
    "graceful_texts": """
    namespace {key} NOT NULL,
    kind {short_key} NOT NULL,
    name {long_key} NOT NULL,
    version bigint NOT NULL,
    text {bytes} NOT NULL,
    written_at {double} NOT NULL,
    expires_at {double},
    PRIMARY KEY (namespace, kind, name)
""",
}

_PARTIAL = (
    "CREATE INDEX graceful_runs_due ON graceful_runs (namespace, due_at, task, id)"
    " WHERE expires_at IS NULL",
    "CREATE INDEX graceful_runs_begun ON graceful_runs (namespace, started_at, task, id)"
    " WHERE expires_at IS NULL",
    "CREATE INDEX graceful_runs_expires ON graceful_runs (namespace, expires_at, task, id)"
    " WHERE expires_at IS NOT NULL",
)
_PAUSED = (
    "CREATE INDEX graceful_runs_paused ON graceful_runs (namespace, started_at, task, id)"
    " WHERE state = 'paused'"
)
_FAILED = (
    "CREATE INDEX graceful_runs_failed ON graceful_runs (namespace, expires_at, task, id)"
    f" WHERE expires_at IS NOT NULL AND {{find}}(extra, {_MARK}) > 0"
)
_IDS = "CREATE INDEX graceful_runs_ids ON graceful_runs (namespace, {id}, task)"
_EXPIRY = (
    "CREATE INDEX graceful_quarantine_expires ON graceful_quarantine_expiry (namespace, expires_at)"
)
_INDEXES: Mapping[str, tuple[str, ...]] = {
    "postgresql": (
        *(*_PARTIAL, _PAUSED, _FAILED.format(find="strpos")),
        *(_IDS.format(id='id COLLATE "C"'), _EXPIRY),
    ),
    "sqlite": (
        *(*_PARTIAL, _PAUSED, _FAILED.format(find="instr")),
        *(_IDS.format(id="id"), _EXPIRY),
    ),
    "mysql": (
        "CREATE INDEX graceful_runs_due ON graceful_runs (namespace, expires_at, due_at)",
        "CREATE INDEX graceful_runs_begun ON graceful_runs (namespace, expires_at, started_at)",
        "CREATE INDEX graceful_runs_expires ON graceful_runs (namespace, expires_at)",
        "CREATE INDEX graceful_runs_tabs ON graceful_runs (namespace, tab, tab_at)",
        _IDS.format(id="id"),
        _EXPIRY,
    ),
}

#: MyISAM has no keys of that length, and no transactions.
_OPTIONS: Mapping[str, str] = {"mysql": " ENGINE=InnoDB"}

#: The names of the store's tables.
TABLES = tuple(_TABLES)


def statements(vendor: str, existing: set[str]) -> list[str]:
    """The SQL that creates the tables and indexes which are not there.

    Args:
        vendor: Django's name of the kind of database. For one that no store uses, there are none.
        existing: the tables that are there.
    """
    if vendor not in _TYPES:
        return []
    found = [
        f"CREATE TABLE {name} ({columns.format(**_TYPES[vendor])}){_OPTIONS.get(vendor, '')}"
        for name, columns in _TABLES.items()
        if name not in existing
    ]
    if checkpoints.TABLE not in existing:
        found.append(checkpoints.create_table(vendor))
    return found + [
        index for index in _INDEXES[vendor] if index.split(" ON ")[1].split()[0] not in existing
    ]


class CreateTables(Operation):  # type: ignore[misc]  # Django ships no types
    """Creates the tables; ``sqlmigrate`` shows how."""

    reversible = True
    reduces_to_sql = True

    def state_forwards(self, app_label: str, state: Any) -> None:
        """There are no models."""

    def database_forwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        """Create the tables that are not there, if the routers want them in this database."""
        connection = schema_editor.connection
        if router.allow_migrate(connection.alias, app_label):
            # What sqlmigrate shows is for any database.
            existing = set() if schema_editor.collect_sql else _existing(connection)
            for statement in statements(connection.vendor, existing):
                schema_editor.execute(statement, params=None)

    def database_backwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        """Drop the tables, and the runs in them."""
        connection = schema_editor.connection
        if router.allow_migrate(connection.alias, app_label):
            tables = (*TABLES, checkpoints.TABLE)
            existing = set(tables) if schema_editor.collect_sql else _existing(connection)
            for name in tables:
                if name in existing:
                    schema_editor.execute(f"DROP TABLE {name}", params=None)

    def describe(self) -> str:
        """What ``migrate --plan`` prints."""
        return "Create the tables of runs and checkpoints"

    @property
    def migration_name_fragment(self) -> str:
        """For the name of a migration that is generated."""
        return "create_tables"


def missing_tables(connection: Any) -> list[str]:
    """The tables that a database does not have."""
    return sorted(set(TABLES) - _existing(connection))


def _existing(connection: Any) -> set[str]:
    with connection.cursor() as cursor:
        return set(connection.introspection.table_names(cursor))
