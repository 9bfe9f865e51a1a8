"""An app with a store, and no workers but those that a test writes down."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from celery import Celery

from celery_graceful import Graceful
from celery_graceful.runtime import Runtime, runtime_of


@pytest.fixture
def app(redis_url: str) -> Iterator[Celery]:
    app = Celery("shop", broker="memory://", set_as_current=False)
    app.conf.update(
        graceful_store=redis_url,
        graceful_maintenance_poll=0.5,
        graceful_maintenance_exempt_queues=["alerts"],
        task_default_queue="celery",
        task_queues={"celery": {}, "mail": {}, "alerts": {}},
    )

    @app.task(shared=False, name="shop.mail")
    def mail() -> None: ...

    @app.task(shared=False, name="shop.import")
    def import_() -> None: ...

    yield app
    app.close()


@pytest.fixture
def graceful(app: Celery) -> Graceful:
    return Graceful(app)


@pytest.fixture
def runtime(app: Celery) -> Iterator[Runtime]:
    runtime = runtime_of(app)
    yield runtime
    runtime.store.close()
