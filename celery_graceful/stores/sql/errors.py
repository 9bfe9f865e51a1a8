"""What SQLAlchemy and its drivers raise, said in this package's errors."""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from celery_graceful.errors import StoreError, StoreUnavailable
from celery_graceful.text.masking import mask_text

#: SQLSTATEs after which the same statement may succeed later.
_LATER = ("08", "40", "53", "55P03", "57", "25006", "58")
#: What drivers say without a SQLSTATE when waiting does not help.
_REFUSED = (
    "authentication failed",
    "access denied",
    "permission denied",
    "no pg_hba.conf entry",
    "no password supplied",
    "does not exist",
    "unknown database",
    "no such table",
    "no such column",
    "unable to open database file",
    "readonly database",
    "read-only",
    "not a database",
    "malformed",
    "disk is full",
    "not authorized",
)
_AWAY = ("OperationalError", "InterfaceError", "ConnectionTimeout", "InternalError")


def translated(exc: Exception, address: str, about: str, *urls: str) -> StoreError:
    """Say ``exc`` as an error of this package.

    Args:
        exc: What SQLAlchemy or its driver raised.
        address: The store's URL without its password.
        about: What the operation was about, for people.
        urls: Addresses whose passwords the driver may quote.
    """
    cause = exc.orig if isinstance(exc, DBAPIError) and exc.orig is not None else exc
    said = mask_text(" ".join(str(cause).split()), *urls) or type(cause).__name__
    if _may_pass(exc, cause, said):
        return StoreUnavailable(f"{address} does not answer now (about {about}): {said}")
    return StoreError(
        f"{address} failed on {about}: {said}. Check that the database of graceful_store exists, "
        "that its user may create tables (graceful_runs and others) and write to them, and that "
        "the file and its folder are writable if it is SQLite."
    )


def _may_pass(exc: Exception, cause: BaseException, said: str) -> bool:
    if isinstance(exc, (PoolTimeout, OSError)):
        return True
    state = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    if state:
        return str(state).startswith(_LATER)
    if any(sign in said.lower() for sign in _REFUSED):
        return False
    if isinstance(exc, DBAPIError) and exc.connection_invalidated:
        return True
    return any(kind.__name__ in _AWAY for kind in type(cause).__mro__)
