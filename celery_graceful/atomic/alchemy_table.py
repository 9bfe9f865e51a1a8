"""The table ``graceful_checkpoints`` in the task's own database, and its statements.

It is made on first use. Where only migrations may do that, give :data:`metadata` to the tool that
writes them, or make the table by ``checkpoints.create(engine)``.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    LargeBinary,
    MetaData,
    String,
    Table,
    and_,
    bindparam,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.dialects import mysql

from celery_graceful.atomic.database import Claim, Mark, Row

metadata = MetaData()

# Compared byte by byte everywhere; MySQL would otherwise take "a" for "A".
_KEY = String(255).with_variant(
    mysql.VARCHAR(255, charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb"
)
_BYTES = LargeBinary(2**32 - 1)

#: One row for each atomic run under way.
checkpoints = Table(
    "graceful_checkpoints",
    metadata,
    Column("namespace", _KEY, primary_key=True),
    Column("task", _KEY, primary_key=True),
    Column("id", _KEY, primary_key=True),
    Column("fence", BigInteger, nullable=False),
    Column("started", String(32), nullable=False),
    Column("execution", String(32), nullable=False),
    Column("checkpoint", _BYTES),
    Column("steps", BigInteger, nullable=False),
    Column("result", _BYTES),
    Column("updated_at", Double, nullable=False),
)

_c = checkpoints.c
_mine = and_(
    _c.namespace == bindparam("ns"),
    _c.task == bindparam("run_task"),
    _c.id == bindparam("run_id"),
)

#: Locks the row, in every database: on SQLite the only way to read what will still be there.
LOCK = update(checkpoints).where(_mine).values(fence=_c.fence)
READ = select(_c.fence, _c.started, _c.checkpoint, _c.steps, _c.result, _c.updated_at).where(_mine)
INSERT = insert(checkpoints)
REPLACE = update(checkpoints).where(_mine)
MARK = (
    update(checkpoints)
    .where(_mine, _c.execution == bindparam("my_execution"))
    .values(
        checkpoint=bindparam("new_checkpoint"),
        steps=bindparam("new_steps"),
        result=bindparam("new_result"),
        updated_at=bindparam("now"),
    )
)
FORGET = delete(checkpoints).where(
    _mine, _c.started == bindparam("my_started"), _c.fence <= bindparam("my_fence")
)


def key(claim: Claim) -> dict[str, Any]:
    """The parameters that name a run's row."""
    return {"ns": claim.namespace, "run_task": claim.task, "run_id": claim.id}


def row_values(row: Row, claim: Claim) -> dict[str, Any]:
    """The columns of a row that an execution claims, its key apart."""
    return {
        "fence": row.fence,
        "started": row.started,
        "execution": claim.execution,
        "checkpoint": _bytes(row.checkpoint),
        "steps": row.steps,
        "result": _bytes(row.result),
        "updated_at": row.updated_at,
    }


def mark_values(mark: Mark, claim: Claim, now: float) -> dict[str, Any]:
    """The parameters of :data:`MARK`."""
    return {
        **key(claim),
        "my_execution": claim.execution,
        "new_checkpoint": _bytes(mark.checkpoint),
        "new_steps": mark.steps,
        "new_result": _bytes(mark.result),
        "now": now,
    }


def read_row(found: Any) -> Row:
    """What :data:`READ` found."""
    fence, started, checkpoint, steps, result, updated_at = found
    return Row(fence, started, _text(checkpoint), steps, _text(result), updated_at)


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else text.encode()


def _text(data: Any) -> str | None:
    return None if data is None else bytes(data).decode()
