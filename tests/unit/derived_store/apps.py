"""Apps, and what the stores of theirs would connect with."""

from __future__ import annotations

import ssl
from typing import Any

import redis
from celery import Celery

from celery_graceful.runtime import runtime_of
from celery_graceful.stores.redis.store import RedisStore

CA = {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_ca_certs": "/etc/private-ca.pem"}
NONE = {"ssl_cert_reqs": ssl.CERT_NONE}
SENTINELS = "sentinel://:pw@a.invalid:1;sentinel://b.invalid/3"


class Provider(redis.CredentialProvider):
    """Credentials as a cloud hands them out."""

    def get_credentials(self) -> tuple[str, str]:
        return "someone", "from-the-provider"


PROVIDER = f"{__name__}.Provider"


def app_with(**settings: Any) -> Celery:
    app = Celery("shop", set_as_current=False)
    app.conf.update(settings)
    return app


def pool_of(app: Celery) -> Any:
    """What the store's connections are made from; nothing is connected."""
    store = runtime_of(app).store
    assert isinstance(store, RedisStore)
    return store._own_caller().server(b"").connection_pool


def told(app: Celery) -> dict[str, Any]:
    options = pool_of(app).connection_kwargs
    assert options["protocol"] == 2
    assert options["socket_timeout"] == options["socket_connect_timeout"] == 2
    return dict(options)


def prefix(app: Celery) -> bytes:
    store = runtime_of(app).store
    assert isinstance(store, RedisStore)
    return store._keys.live
