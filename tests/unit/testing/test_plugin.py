"""The pytest plugin, in projects of its users: found by its entry point, as pip leaves it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import celery_graceful

PACKAGE = Path(celery_graceful.__file__).parent
PYPROJECT = Path(__file__).resolve().parents[3] / "pyproject.toml"

#: Runs the tests of a module of a user's; returns the output. Keywords: how many pass and fail.
Run = Callable[..., str]

pytestmark = pytest.mark.slow

STRICT = ["--strict-config", "--strict-markers", "-W", "error", "-p", "no:valkey"]


@pytest.fixture
def run_tests(tmp_path: Path) -> Run:
    installed = tmp_path / "installed" / "celery_graceful-0.dist-info"
    installed.mkdir(parents=True)
    (installed / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: celery-graceful\nVersion: 0\n"
    )
    (installed / "RECORD").write_text("celery_graceful/testing/plugin.py,,\n")
    (installed / "entry_points.txt").write_text(f"[pytest11]\n{entry_point()}\n")
    path = os.pathsep.join([str(installed.parent), str(PACKAGE.parent)])

    def run(code: str, *options: str, passed: int = 0, failed: int = 0) -> str:
        project = tmp_path / "project"
        project.mkdir(exist_ok=True)
        (project / "test_it.py").write_text(code)
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *STRICT, "-p", "no:cacheprovider", *options],
            cwd=project,
            env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=100,
        )
        output = done.stdout + done.stderr
        assert done.returncode == (1 if failed else 0), output
        assert f"{passed} passed" in output or not passed, output
        assert f"{failed} failed" in output or not failed, output
        return output

    return run


def entry_point() -> str:
    text = PYPROJECT.read_text(encoding="utf-8")
    return (
        text.partition("[project.entry-points.pytest11]\n")[2].partition("\n")[0].replace('"', "")
    )


LIGHT = """
import sys

def test_it(pytestconfig):
    assert pytestconfig.pluginmanager.hasplugin("graceful")
    heavy = {name for name in sys.modules if name.split(".")[0] in ("celery", "kombu", "redis")}
    assert not heavy
    ours = {name for name in sys.modules if name.startswith("celery_graceful")}
    light = {"celery_graceful", "celery_graceful.testing", "celery_graceful.testing.plugin"}
    # What makes log lines safe is there before the first of them.
    safe = {f"celery_graceful.text.{name}" for name in ("log_lines", "masking", "printable")}
    assert ours == light | safe | {"celery_graceful.text"}
"""


def test_it_imports_next_to_nothing_until_it_is_used(run_tests: Run) -> None:
    run_tests(LIGHT, passed=1)


def test_it_can_be_left_out(run_tests: Run) -> None:
    code = "def test_it(run_until):\n    pass\n"
    output = run_tests(code.replace("run_until", ""), "-p", "no:graceful", passed=1)
    assert "graceful" not in output


FIXTURES = """
import pytest
from celery import Celery
from celery_graceful import Graceful, IterableTask, stopping
from celery_graceful.model.run.record import Record, RunKey, State
from celery_graceful.runtime import runtime_of

app = Celery("shop", broker="memory://", set_as_current=False)
Graceful(app)

@app.task(base=IterableTask)
def work(n, *, cursor=-1):
    yield from range(cursor + 1, n)
    return n

@app.task(base=IterableTask)
def wrong(n, *, cursor=0):
    yield from range(cursor, n)

def test_resumable(assert_resumable):
    assert_resumable(work, (3,))
    with pytest.raises(AssertionError, match="inclusive"):
        assert_resumable(wrong, (3,))

def test_until(run_until):
    assert run_until(work, (3,), items=2).resume().result == 3

def test_stop(simulate_stop):
    with simulate_stop():
        assert stopping() == "shutdown"

@pytest.mark.parametrize("turn", [1, 2])
def test_store(graceful_settings, graceful_store, turn):
    shop = Celery("shop", set_as_current=False)
    shop.conf.update(graceful_settings)
    store = runtime_of(shop).store
    assert store.live(9) == []
    store.swap(RunKey("shop.work", "1"), 0, Record(State.PAUSED))
    assert [run.id for run, *_ in graceful_store.live(9)] == ["1"]
"""


def test_the_fixtures(run_tests: Run) -> None:
    run_tests(FIXTURES, passed=5)


def test_they_are_shown_with_what_they_are_for(run_tests: Run) -> None:
    output = run_tests("", "--fixtures", "-q")
    for name in ("assert_resumable", "run_until", "simulate_stop", "graceful_settings"):
        assert name in output


WITH_CELERYS_PLUGIN = """
import time
import pytest
from celery_graceful import Graceful, IterableTask
from celery_graceful.model.run.record import State

pytest_plugins = ["celery.contrib.pytest"]

@pytest.fixture
def celery_config(graceful_settings):
    return {**graceful_settings, "broker_url": "memory://", "result_backend": "cache+memory://"}

@pytest.fixture
def celery_worker_parameters():
    return {"perform_ping_check": False}

@pytest.fixture
def work(celery_app):
    Graceful(celery_app)

    @celery_app.task(base=IterableTask, shared=False)
    def work(n, *, cursor=-1):
        yield from range(cursor + 1, n)
        return n

    return work

def test_a_worker(work, celery_worker, graceful_store):
    celery_worker.reload()
    assert work.delay(5).get(timeout=30) == 5
    # The run ends a moment after Celery has stored the result.
    deadline = time.monotonic() + 30
    while not graceful_store.ended(9):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert graceful_store.ended(9)[0].record.steps == 5
"""


def test_it_goes_with_celerys_own_plugin(run_tests: Run) -> None:
    run_tests(WITH_CELERYS_PLUGIN, passed=1)


STORES = """
import pytest
from celery_graceful.stores.memory_store import MemoryStore
from celery_graceful.testing.store_contract import StoreContract

class Forgetful(MemoryStore):
    def checkpoint(self, run, fence, checkpoint, steps, *, due_in):
        return super().checkpoint(run, fence, checkpoint, 0, due_in=due_in)

def opener(kind):
    stores = {}
    return lambda namespace: stores.setdefault(namespace, kind())

class TestGood(StoreContract):
    @pytest.fixture
    def open_store(self):
        return opener(MemoryStore)

class TestForgetful(StoreContract):
    @pytest.fixture
    def open_store(self):
        return opener(Forgetful)
"""


def test_the_contract_on_stores_of_others(run_tests: Run) -> None:
    run_tests(STORES, "-q", "-k", "TestGood", passed=135)
    output = run_tests(STORES, "-q", "-k", "TestForgetful", passed=134, failed=1)
    assert "TestForgetful::test_a_checkpoint_is_saved" in output
    assert "steps=17" in output, "what differs is shown"
