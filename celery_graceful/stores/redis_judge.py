"""Whether a Redis server is one that can keep records."""

from __future__ import annotations

import logging
from typing import Any

from celery_graceful.errors import StoreError

__all__ = ["judge"]

logger = logging.getLogger("celery_graceful.stores")

_OLDEST = 6


def judge(info: dict[str, Any], address: str) -> None:
    """Refuse a server that is too old or a cluster, and warn of one that may evict records.

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
    if info.get("cluster_enabled") in (1, "1"):
        raise StoreError(
            f"{address} is a Redis Cluster, which graceful_store does not support. Use "
            "a single server, or one behind Sentinel."
        )
    policy = str(info.get("maxmemory_policy", "noeviction"))
    if policy.startswith("allkeys"):
        logger.warning(
            "%s may evict records of runs when memory is short (maxmemory-policy %s): such a "
            "run is lost. Set maxmemory-policy to noeviction or to one of the volatile ones.",
            address,
            policy,
        )
