"""The store in Redis or Valkey."""

from __future__ import annotations

from celery_graceful.stores.redis.listing import RedisListing
from celery_graceful.stores.redis.named_texts import RedisTexts
from celery_graceful.stores.redis.quarantine import RedisQuarantine
from celery_graceful.stores.redis.records import RedisRuns


class RedisStore(RedisRuns, RedisListing, RedisQuarantine, RedisTexts):
    """A store in Redis or Valkey (6 or newer): one server, Sentinel's, or a cluster.

    Every call is one Lua script, or a few where many records are concerned; each is atomic. A
    script touches the keys of one namespace: all of them have one hash tag, so a cluster keeps them
    on one node.
    """
