"""The doctor never breaks a worker."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from celery import Celery
from celery.concurrency.base import BasePool

from celery_graceful.doctor import startup
from celery_graceful.worker.checkup import CheckupStep


def test_a_doctor_that_fails_is_told_with_its_traceback(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    app = Celery("shop", broker="memory://", set_as_current=False)
    app.conf.graceful_store = "memory://"
    monkeypatch.delattr(startup, "configuration_findings")
    worker = SimpleNamespace(app=app, graceful_grace=None, pool_cls=BasePool)
    CheckupStep(worker)._examine()
    (record,) = caplog.records
    assert record.getMessage() == "The doctor could not examine this worker"
    assert record.exc_info is not None
