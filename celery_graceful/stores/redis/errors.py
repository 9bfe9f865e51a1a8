"""Errors of redis-py as errors of this package, and the rights that a user needs."""

from __future__ import annotations

import re

from redis import exceptions as redis_errors

from celery_graceful.errors import StoreError, StoreUnavailable
from celery_graceful.stores.redis.encoding import ROOT
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
#: Codes of a server that does not know the user.
_LOGIN_CODES = ("NOAUTH", "WRONGPASS")
_REFUSED_CODES = (*_LOGIN_CODES, "NOPERM")
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
#: How a script names the command that it makes.
_COMMAND = re.compile(r"redis\.p?call\('([A-Z]+)'")
#: Beside the scripts: to run them, and what a connection begins with.
_AROUND = ("EVAL", "EVALSHA", "INFO", "PING", "SELECT")
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
        message = mask_text(str(exc)).rstrip(".") or type(exc).__name__
        address = self._address
        refused = _has(message, _REFUSED_CODES) or any(sign in message for sign in _REFUSED_INSIDE)
        if isinstance(exc, _REFUSED) or refused:
            return StoreError(
                f"{address} refused the operation on {key}: {message}. {self._advice(exc, message)}"
            )
        if _has(message, _CLUSTER_CODES) or isinstance(exc, _CLUSTER):
            return StoreError(
                f"{address} is a node of a Redis Cluster, and the records are on another "
                f"({message}). Set graceful_store = 'redis+cluster://host:port' "
                "(rediss+cluster:// with TLS)."
            )
        if isinstance(exc, _AWAY) or _has(message, _AWAY_CODES) or _MOVES in message:
            return StoreUnavailable(f"{address} does not answer now (about {key}): {message}")
        if isinstance(exc, redis_errors.OutOfMemoryError) or _has(message, ("OOM",)):
            # As if it were away: the same call succeeds once somebody has made room, so that what
            # a run has to save is saved later, and nothing that was done is lost.
            return StoreUnavailable(
                f"{address} has no memory left to write {key}: {message}. Raise its maxmemory, or "
                "remove data from it."
            )
        if any(sign in message for sign in _DAMAGED):
            return unread(f"at {key} in {address}", message)
        if isinstance(exc, redis_errors.InvalidResponse):
            return StoreError(f"{address} does not speak Redis: {message}. Check {self._setting}.")
        return StoreError(f"{address} failed on {key}: {message}")

    def _advice(self, exc: Exception, message: str) -> str:
        """What a refused user lacks: the right password, or the rights."""
        if isinstance(exc, redis_errors.AuthenticationError) or _has(message, _LOGIN_CODES):
            return f"Check the user and password in {self._setting}."
        return f"Give the user these rights: ACL SETUSER <user> {rule(self._prefix)}"


def _has(message: str, codes: tuple[str, ...]) -> bool:
    # A script's error has the code in front or, before Redis 7, after "-" further inside.
    return message.startswith(codes) or any(f"-{code} " in message for code in codes)


def commands() -> list[str]:
    """The commands that a user of the store has to be allowed, in alphabetical order."""
    # They make scripts, and go through this module.
    from celery_graceful.stores.redis import list_scripts, named_texts, quarantine, scripts

    modules = (quarantine, named_texts, scripts, list_scripts)
    made = [value for module in modules for value in vars(module).values()]
    sources = [value.source for value in made if isinstance(value, scripts.Script)]
    return sorted({*_AROUND, *(name for source in sources for name in _COMMAND.findall(source))})


def rule(prefix: str = "") -> str:
    """The rights in the words of ``ACL SETUSER``.

    Args:
        prefix: What every key begins with.
    """
    return " ".join([f"~{prefix}{ROOT}*", *(f"+{name.lower()}" for name in commands())])
