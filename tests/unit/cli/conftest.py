"""An app with a store, and its commands."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from celery import Celery
from click.testing import CliRunner, Result

from celery_graceful import Graceful, IterableTask
from celery_graceful.cli import graceful
from celery_graceful.runtime import Runtime, forget, runtime_of
from tests.unit.cli.shop import ID, TASK, Run, queued


@pytest.fixture(autouse=True)
def _no_process_of_others(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The ledger of background processes is the user's: tests beside these have some there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("own")))
        yield


@pytest.fixture
def app(redis_url: str) -> Iterator[Celery]:
    app = Celery("shop", broker="memory://", backend="cache+memory://", set_as_current=False)
    app.conf.graceful_store = redis_url
    Graceful(app)

    @app.task(base=IterableTask, shared=False, name=TASK)
    def import_rows(path: str, *, cursor: int | None = None) -> Iterator[int]:
        yield 1

    queued(app)  # what other tests left: this broker and this backend are one for the process
    yield app
    app.AsyncResult(ID).forget()
    app.close()


@pytest.fixture
def runtime(app: Celery) -> Iterator[Runtime]:
    runtime = runtime_of(app)
    yield runtime
    runtime.store.close()


@pytest.fixture
def call(app: Celery) -> Run:
    def call(*words: str) -> Result:
        context = SimpleNamespace(app=app)
        return CliRunner().invoke(
            graceful, words, obj=context, prog_name="celery graceful", catch_exceptions=False
        )

    return call


@pytest.fixture
def queues(app: Celery) -> None:
    """The app has three queues, one of them exempt."""
    app.conf.update(
        task_queues={"celery": {}, "mail": {}, "alerts": {}},
        graceful_maintenance_exempt_queues=["alerts"],
    )
    forget(app)
