"""Whether a Redis server is one that can keep records."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from redis import Redis
from redis.exceptions import ResponseError

from celery_graceful.errors import StoreError
from celery_graceful.stores.base import Durability

logger = logging.getLogger("celery_graceful.stores")

_OLDEST = 6


def judge(info: dict[str, Any], address: str) -> None:
    """Refuse a server that is too old, and warn of one that may evict records.

    Args:
        info: What the server answers to ``INFO``.
        address: The store's URL without its password.

    Raises:
        StoreError: It cannot be used.
    """
    version = str(info.get("redis_version", "0"))
    if not version.split(".")[0].isdigit() or int(version.split(".")[0]) < _OLDEST:
        raise StoreError(
            f"{address} is Redis {version}; celery-graceful needs Redis {_OLDEST} or "
            "newer, or Valkey."
        )
    policy = str(info.get("maxmemory_policy", "noeviction"))
    if policy.startswith("allkeys"):
        logger.warning(
            "%s may evict records of runs when memory is short (maxmemory-policy %s): such a "
            "run is lost. Set maxmemory-policy to noeviction or to one of the volatile ones.",
            address,
            policy,
        )


def durability(client: Redis) -> Durability:
    """What becomes of the data when memory runs out or the server restarts.

    Raises:
        RedisError: The server does not answer.
    """
    policy = _asked(lambda: client.config_get("maxmemory-policy"))
    save = _asked(lambda: client.config_get("save"))
    log = _asked(lambda: client.config_get("appendonly"))
    saves, logs = save.get("save"), log.get("appendonly")
    persistent = None if saves is None or logs is None else bool(saves) or logs == "yes"
    return Durability(policy.get("maxmemory-policy", ""), persistent)


def _asked(question: Callable[[], Any]) -> dict[str, str]:
    """The answer to CONFIG GET as text; nothing where the server does not allow that."""
    try:
        found = question()
    except ResponseError:  # no such command, or no rights to it
        return {}
    return {_config_text(name): _config_text(value) for name, value in dict(found).items()}


def _config_text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
