"""What redis-py raises, said in this package's errors."""

from __future__ import annotations

from redis import exceptions as redis_errors

from celery_graceful.errors import StoreError, StoreUnavailable
from celery_graceful.stores.redis.rights import rule
from celery_graceful.stores.unread import unread
from celery_graceful.text.masking import mask_text

#: What a call may raise.
TROUBLE = (redis_errors.RedisError, redis_errors.RedisClusterException, OSError)

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
    # Of its client only: no node answers, nobody has the slot now, or it moves this moment.
    redis_errors.RedisClusterException,
    redis_errors.ClusterError,
    OSError,
)
_CLUSTER = (redis_errors.MovedError, redis_errors.ClusterCrossSlotError)
#: Codes of a server that does not know who asks.
_STRANGER_CODES = ("NOAUTH", "WRONGPASS")
_REFUSED_CODES = (*_STRANGER_CODES, "NOPERM")
#: What a script meets that may be run and then uses a command that may not: Redis 7, and 6.
_REFUSED_INSIDE = ("ACL failure in script", "The user executing the script can't")
#: What a script meets in a slot that a cluster is moving.
_MOVES = "non local key"
_CLUSTER_CODES = ("CROSSSLOT", "MOVED")
_AWAY_CODES = (
    "ASK",
    "TRYAGAIN",
    "CLUSTERDOWN",
    "BUSY",
    "LOADING",
    "READONLY",
    "MASTERDOWN",
    "MISCONF",
    "NOREPLICAS",
    "UNKILLABLE",
)
_DAMAGED = ("WRONGTYPE", "not an integer", "not a valid float", "would overflow")


class Translator:
    """Says what redis-py raised as an error of this package.

    Args:
        address: The store's URL without its password.
        setting: The setting that the address was read from.
        prefix: What every key begins with.
    """

    def __init__(self, address: str, setting: str, prefix: str) -> None:
        self._address, self._setting, self._prefix = address, setting, prefix

    def __call__(self, exc: Exception, key: str) -> StoreError:
        """The error for ``exc``; ``key`` is what the operation was about, for people."""
        said = mask_text(str(exc)).rstrip(".") or type(exc).__name__
        address = self._address
        refused = _has(said, _REFUSED_CODES) or any(sign in said for sign in _REFUSED_INSIDE)
        if isinstance(exc, _REFUSED) or refused:
            return StoreError(
                f"{address} refused the operation on {key}: {said}. {self._what_to_give(exc, said)}"
            )
        if _has(said, _CLUSTER_CODES) or isinstance(exc, _CLUSTER):
            return StoreError(
                f"{address} is a node of a Redis Cluster, and the records are on another ({said})."
                " Set graceful_store = 'redis+cluster://host:port' (rediss+cluster:// with TLS)."
            )
        if isinstance(exc, _AWAY) or _has(said, _AWAY_CODES) or _MOVES in said:
            return StoreUnavailable(f"{address} does not answer now (about {key}): {said}")
        if isinstance(exc, redis_errors.OutOfMemoryError) or _has(said, ("OOM",)):
            # As if it were away: the same call succeeds once somebody has made room, so that what
            # a run has to say is said again, and nothing is given up that was done.
            return StoreUnavailable(
                f"{address} has no memory left to write {key}: {said}. Raise its maxmemory, or "
                "remove data from it."
            )
        if any(sign in said for sign in _DAMAGED):
            return unread(f"at {key} in {address}", said)
        if isinstance(exc, redis_errors.InvalidResponse):
            return StoreError(f"{address} does not speak Redis: {said}. Check {self._setting}.")
        return StoreError(f"{address} failed on {key}: {said}")

    def _what_to_give(self, exc: Exception, said: str) -> str:
        """What a refused user lacks: the right password, or the rights."""
        if isinstance(exc, redis_errors.AuthenticationError) or _has(said, _STRANGER_CODES):
            return f"Check the user and password in {self._setting}."
        return f"Give the user these rights: ACL SETUSER <user> {rule(self._prefix)}"


def _has(said: str, codes: tuple[str, ...]) -> bool:
    # A script's error carries the code in front or, before Redis 7, after "-" further inside.
    return said.startswith(codes) or any(f"-{code} " in said for code in codes)
