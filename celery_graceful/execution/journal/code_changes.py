"""Code that changes between two executions: a checkpoint of another version, or of other code."""

from __future__ import annotations

import hashlib
import inspect
import logging
import sys
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from celery.utils.saferepr import saferepr

from celery_graceful.errors import CursorError
from celery_graceful.model.run.cursor import Checkpoint, encode

if TYPE_CHECKING:
    from celery_graceful.execution.run_task import RunTask

logger = logging.getLogger("celery_graceful.runs")


class NotMigrated(Exception):
    """The task's code cannot continue from a checkpoint; says why, and what to do."""


# -- versions of the cursor ------------------------------------------------------------------


def migrated(task: RunTask, checkpoint: Checkpoint) -> Checkpoint:
    """The checkpoint, as one of the version of the task's code.

    Raises:
        NotMigrated: the task cannot make one of it.
    """
    then, now = checkpoint.version, task.cursor_version
    if then == now:
        return checkpoint
    if checkpoint.cursor is None and not checkpoint.steps:  # nothing was done
        return replace(checkpoint, version=now)
    if then > now:
        raise NotMigrated(
            f"its checkpoint has cursor_version {then}, and the code of this worker is older: it"
            f" has {now}. Deploy the newer code again, and resume the run"
        )
    if not has_migration(task):
        raise NotMigrated(
            f"its checkpoint has cursor_version {then}, and the code has {now} and no"
            f" migrate_cursor. Add one that accepts version {then}, or deploy the code of version"
            f" {then} again, and resume the run"
        )
    try:
        return _migrated(task, checkpoint)
    except Exception as exc:
        logger.warning("%s: migrate_cursor raised %s", task.name, saferepr(exc), exc_info=exc)
        raise NotMigrated(
            f"its checkpoint has cursor_version {then}, and migrate_cursor of the code's version"
            f" {now} raised {saferepr(exc, maxlen=300)}. Fix it, deploy, and resume the run"
        ) from exc


def _migrated(task: RunTask, checkpoint: Checkpoint) -> Checkpoint:
    migrate, version = migration_of(task), checkpoint.version
    carry = deepcopy(checkpoint.carry)
    cursor = migrate(checkpoint.cursor, carry, version)
    in_doubt = checkpoint.in_doubt
    if in_doubt is not None:
        in_doubt = migrate(in_doubt, deepcopy(checkpoint.carry), version)
    made = replace(
        checkpoint,
        cursor=cursor,
        carry=carry,
        total=None,  # items may be other ones now
        in_doubt=in_doubt,
        version=task.cursor_version,
    )
    if cursor is None:
        raise CursorError(
            "migrate_cursor returned None, which would begin the run again; return the new cursor"
        )
    encode(made)  # raises what saving it would
    return made


def has_migration(task: RunTask) -> bool:
    """Whether the task migrates checkpoints of older versions."""
    return task.migrate_cursor is not None


def migration_of(task: RunTask) -> Callable[[Any, dict[str, Any], int], Any]:
    """The task's ``migrate_cursor``: a method, or a function without ``self`` from a decorator.

    Raises:
        TypeError: it does not take cursor, carry and version.
    """
    migrate: Any = task.migrate_cursor
    plain = getattr(migrate, "__func__", None)
    found: Callable[[Any, dict[str, Any], int], Any] = migrate
    if plain is not None and takes(plain, 3) and not takes(plain, 4):
        found = plain
    elif not takes(migrate, 3):
        raise TypeError("migrate_cursor must take (self, cursor, carry, version)")
    return found


def takes(function: Any, number: int) -> bool:
    """Whether a function can be called with so many arguments, as far as can be seen."""
    try:
        inspect.signature(function).bind(*[None] * number)
    except TypeError:
        return False
    except ValueError:  # a callable without a signature
        return True
    return True


# -- other code ------------------------------------------------------------------------------

#: By class of a task.
_known: WeakKeyDictionary[type, str] = WeakKeyDictionary()
#: Of functions in these packages, a task has not its own behaviour.
_OURS = ("celery_graceful", "celery")


def code_of(task: RunTask) -> str:
    """What names the code of a task: ``3.11-`` and a hash of the compiled functions that it has.

    Not of their source: its file may be newer than the process that runs the task. Comments and
    lines make no difference. Computed once per process.
    """
    cls = type(task)
    try:
        return _known[cls]
    except KeyError:
        found = _known[cls] = _code_of(cls)
        return found


def _code_of(cls: type) -> str:
    digest = hashlib.blake2b(digest_size=6)
    for name, function in _functions(cls):
        digest.update(name.encode())
        _add(digest, function.__code__)
    major, minor = sys.version_info[:2]
    return f"{major}.{minor}-{digest.hexdigest()}"


def _functions(cls: type) -> Iterator[tuple[str, FunctionType]]:
    for owner in cls.__mro__:
        for name, value in sorted(vars(owner).items(), key=lambda pair: pair[0]):
            # By type: a proxy that is asked for an attribute, or its class, may raise anything.
            if type(value) in (staticmethod, classmethod):
                value = value.__func__
            if type(value) is not FunctionType:
                continue
            function = inspect.unwrap(value)
            home = str(function.__module__).partition(".")[0]
            if type(function) is FunctionType and home not in _OURS:
                yield name, function


def _add(digest: Any, code: CodeType) -> None:
    digest.update(code.co_code)
    digest.update(repr((code.co_names, code.co_varnames)).encode())
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            _add(digest, constant)
        elif isinstance(constant, frozenset):  # whose order changes with each process
            digest.update(repr(sorted(map(repr, constant))).encode())
        else:
            digest.update(repr(constant).encode())


def other_code(task: RunTask, then: str) -> str:
    """The hash of the task's code now, if other code wrote ``then``; else nothing.

    What another version of Python compiled cannot be compared.
    """
    now = code_of(task)
    comparable = then.partition("-")[0] == now.partition("-")[0]
    return now if comparable and then != now else ""


def note_other_code(exc: Exception, cursor: object, then: str, now: str) -> str:
    """Add to an exception that other code wrote the cursor that the run was resumed at.

    Returns:
        What was added: Python 3.10 shows no notes.
    """
    note = (
        f"No item was done since the run was resumed after cursor {saferepr(cursor, maxlen=200)},"
        f" which other code has saved: the hash of the task's code was {then} then, and is {now}"
        " now. If the new code does not understand the old cursor, give the task a cursor_version"
        " and migrate_cursor, and start the run again at that cursor"
    )
    if hasattr(exc, "add_note"):
        exc.add_note(note)
    else:
        exc.__notes__ = [*getattr(exc, "__notes__", ()), note]  # type: ignore[attr-defined]
    return note
