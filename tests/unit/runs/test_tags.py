"""Tags: how a run comes by them, and how it is found."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery

from celery_graceful import Graceful, IterableTask
from celery_graceful.runs.api import Runs
from tests.harness.delivered import InProcess

HOSTILE = '<b>"é\\ \u202e\x1b[31m\x00'


@pytest.fixture
def app() -> Iterator[Celery]:
    app = Celery("shop", broker="memory://", backend="cache+memory://", set_as_current=False)
    app.conf.update(
        graceful_store="memory://",
        graceful_namespace=uuid.uuid4().hex,
        task_default_queue=uuid.uuid4().hex,
    )

    @app.task(base=IterableTask, name="shop.items", shared=False)
    def items(*, cursor: int | None = None) -> Iterator[int]:
        yield 1

    yield app
    app.close()


@pytest.fixture
def runs(app: Celery) -> Runs:
    return Graceful(app).runs


def send(app: Celery, tags: Any) -> str:
    sent = app.tasks["shop.items"].apply_async(headers={"graceful_tags": tags})
    InProcess(app).deliver(app.conf.task_default_queue)
    return str(sent.id)


def test_a_run_is_found_by_each_of_its_tags(app: Celery, runs: Runs) -> None:
    tags = ["upload:42", HOSTILE, "upload:42"]
    started = runs.start("shop.items", tags=tags)
    assert started.tags == ("upload:42", HOSTILE)
    InProcess(app).deliver(app.conf.task_default_queue)
    sent = send(app, ["upload:42"])
    assert runs.get(started.id).state == "completed"
    assert {run.id for run in runs.list(tag="upload:42")} == {started.id, sent}
    assert [run.id for run in runs.list(tag=HOSTILE)] == [started.id]
    assert runs.list(tag="upload:4").items == runs.list(tag="").items == ()


def test_a_signature_can_have_tags(app: Celery, runs: Runs) -> None:
    headers: Any = {"graceful_tags": ["a"]}
    sent = app.tasks["shop.items"].s().set(headers=headers).delay()
    InProcess(app).deliver(app.conf.task_default_queue)
    assert runs.get(sent.id).tags == ("a",)


@pytest.mark.parametrize("tags", ["abc", 5, {"a": 1}, [1], [""], ["x" * 201], ["x"] * 21, [["a"]]])
def test_tags_of_a_stranger_do_not_stop_a_run(
    app: Celery, runs: Runs, caplog: pytest.LogCaptureFixture, tags: Any
) -> None:
    with caplog.at_level(logging.WARNING, "celery_graceful"):
        run = runs.get(send(app, tags))
    assert (run.state, run.tags) == ("completed", ())
    assert "its header graceful_tags is ignored: tags: " in caplog.text


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ("abc", "tags: 'abc' is not a list of texts"),
        ([1], "tags: 1 is not a text"),
        ([" "], "tags: ' ' is not a text"),
        (["x" * 201], "tags: 'xxxxxxxxxxxxxxxxxxxx'… has 201 characters; at most 200 are allowed"),
        ([str(n) for n in range(21)], "tags: 21 are too many; at most 20 are allowed"),
    ],
)
def test_a_start_with_wrong_tags_is_refused(runs: Runs, tags: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        runs.start("shop.items", tags=tags)
    assert runs.list().items == ()
