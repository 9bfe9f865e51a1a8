"""What redis-py raises, said in this package's errors."""

from __future__ import annotations

from redis import exceptions as redis_errors

from celery_graceful.errors import StoreError, StoreUnavailable
from celery_graceful.masking import mask_text
from celery_graceful.stores.redis_rights import rule
from celery_graceful.stores.unread import unread

__all__ = ["translated"]

_REFUSED = (
    redis_errors.AuthenticationError,
    redis_errors.AuthorizationError,
    redis_errors.AuthenticationWrongNumberOfArgsError,
    redis_errors.NoPermissionError,
)
_AWAY = (
    redis_errors.ConnectionError,
    redis_errors.TimeoutError,
    redis_errors.ReadOnlyError,
    redis_errors.MasterDownError,
    redis_errors.ClusterDownError,
    redis_errors.TryAgainError,
    OSError,
)
_CLUSTER = (redis_errors.MovedError, redis_errors.AskError, redis_errors.ClusterCrossSlotError)
_REFUSED_CODES = ("NOAUTH", "WRONGPASS", "NOPERM")
#: What a script meets that may be run and then uses a command that may not: Redis 7, and 6.
_REFUSED_INSIDE = ("ACL failure in script", "The user executing the script can't")
_AWAY_CODES = ("BUSY", "LOADING", "READONLY", "MASTERDOWN", "MISCONF", "NOREPLICAS", "UNKILLABLE")
_DAMAGED = ("WRONGTYPE", "not an integer", "not a valid float", "would overflow")


def translated(exc: Exception, address: str, key: str) -> StoreError:
    """Say ``exc`` as an error of this package.

    Args:
        exc: What redis-py raised.
        address: The store's URL without its password.
        key: What the operation was about, for people.
    """
    said = mask_text(str(exc)) or type(exc).__name__
    refused = _has(said, _REFUSED_CODES) or any(sign in said for sign in _REFUSED_INSIDE)
    if isinstance(exc, _REFUSED) or refused:
        return StoreError(
            f"{address} refused the operation on {key}: {said}. Check the user and password in "
            f"graceful_store, and give the user these rights: ACL SETUSER <user> {rule()}"
        )
    if isinstance(exc, _CLUSTER) or _has(said, ("CROSSSLOT", "MOVED")):
        return StoreError(
            f"{address} is a Redis Cluster, which graceful_store does not support ({said}). Use a "
            "single server, or one behind Sentinel."
        )
    if isinstance(exc, _AWAY) or _has(said, _AWAY_CODES):
        return StoreUnavailable(f"{address} does not answer now (about {key}): {said}")
    if isinstance(exc, redis_errors.OutOfMemoryError) or _has(said, ("OOM",)):
        # As if it were away: the same call succeeds once somebody has made room, so that what a run
        # has to say is said again, and nothing is given up that was done.
        return StoreUnavailable(
            f"{address} has no memory left to write {key}: {said}. Raise its maxmemory, or remove "
            "data from it."
        )
    if any(sign in said for sign in _DAMAGED):
        return unread(f"at {key} in {address}", said)
    if isinstance(exc, redis_errors.InvalidResponse):
        return StoreError(f"{address} does not speak Redis: {said}. Check graceful_store.")
    return StoreError(f"{address} failed on {key}: {said}")


def _has(said: str, codes: tuple[str, ...]) -> bool:
    # A script's error carries the code in front or, before Redis 7, after "-" further inside.
    return said.startswith(codes) or any(f"-{code} " in said for code in codes)
