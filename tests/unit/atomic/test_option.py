"""The option ``atomic``: what may be written, and what is a fault of the definition."""

# mypy: allow-untyped-decorators
from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import async_sessionmaker
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from celery_graceful import Atomic, IterableTask
from celery_graceful.atomic import Every

MAKERS: list[Any] = [sessionmaker(), scoped_session(sessionmaker()), Session, lambda: Session()]


@pytest.mark.parametrize("make", MAKERS)
def test_what_makes_sessions(make: Any) -> None:
    assert Atomic.sqlalchemy(make).problems() == []


@pytest.mark.parametrize(
    ("every", "understood"),
    [
        (1, Every(items=1)),
        (100_000, Every(items=100_000)),
        ("50ms", Every(seconds=0.05)),
        ("1m 30s", Every(seconds=90)),
        (timedelta(seconds=2), Every(seconds=2)),
    ],
)
def test_every(every: Any, understood: Every) -> None:
    atomic = Atomic.sqlalchemy(sessionmaker(), every=every)
    assert atomic.problems() == []
    assert atomic.interval() == understood


@pytest.mark.parametrize("every", [0, -1, True, 2.5, "", "100", "0s", "soon", None, timedelta(0)])
def test_every_that_is_wrong(every: Any) -> None:
    (problem,) = Atomic.sqlalchemy(sessionmaker(), every=every).problems()
    assert problem.startswith(f"atomic: every={every!r} is wrong")


@pytest.mark.parametrize(
    ("make", "advice"),
    [
        (create_engine("sqlite://"), r"pass sessionmaker\(engine\)"),
        (Session(), "a session of its own"),
        (async_sessionmaker(), "not asynchronous"),
        (None, "a callable that returns a session|another callable"),
        ("sqlite://", "another callable"),
    ],
)
def test_what_makes_no_sessions(make: Any, advice: str) -> None:
    (problem,) = Atomic.sqlalchemy(make).problems()
    with pytest.raises(AssertionError, match=advice):
        raise AssertionError(problem)


def test_a_fault_is_told_where_it_helps(app_with: Any) -> None:
    task = app_with(Atomic.sqlalchemy(None, every=0))  # type: ignore[arg-type]
    assert len(task.faults) == 2
    assert all("test_option.py" in fault for fault in task.faults)
    (fault,) = app_with(sessionmaker()).faults
    assert "write atomic = Atomic.sqlalchemy(Session)" in fault


@pytest.fixture
def app_with() -> Any:
    from celery import Celery

    def make(option: Any) -> Any:
        app = Celery("proj", broker="memory://", set_as_current=False)

        @app.task(base=IterableTask, atomic=option, shared=False)
        def work(*, cursor: int = 0) -> Any:
            yield 1

        app.finalize()
        return app.tasks[work.name]

    return make


@pytest.mark.parametrize(
    ("made", "module"),
    [("sqlalchemy(lambda: None)", "sqlalchemy"), ("django('other')", "django.db")],
)
def test_an_orm_is_imported_by_a_run_only(made: str, module: str) -> None:
    code = (
        "import sys; from celery_graceful import Atomic, IterableTask\n"
        f"assert Atomic.{made}.problems() == []\n"
        f"sys.exit({module!r} in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


# -- Django ------------------------------------------------------------------------------------


@pytest.mark.parametrize("using", ["", None, 3, sessionmaker()])
def test_what_is_no_alias(using: Any) -> None:
    (problem,) = Atomic.django(using).problems()
    assert "needs the alias of a database in settings.DATABASES" in problem


SETTINGS = """
import sys
from django.conf import settings
settings.configure(DATABASES={"default": {}, "replica": {"ENGINE": "django.db.backends.sqlite3"}})
from celery_graceful import Atomic
print(*Atomic.django(sys.argv[1]).problems())
"""


@pytest.mark.parametrize(
    ("using", "found"),
    [
        ("replica", ""),
        ("replcia", "which has 'default', 'replica'. Did you mean 'replica'?"),
        ("default", "settings.DATABASES['default'] has no ENGINE"),
    ],
)
def test_an_alias_is_checked_when_settings_are_known(using: str, found: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SETTINGS, using], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert found in done.stdout
    assert bool(found) == bool(done.stdout.strip())


def test_no_settings_at_all() -> None:
    code = (
        "from celery import Celery; from celery_graceful import Atomic, IterableTask\n"
        "app = Celery(set_as_current=False)\n"
        "@app.task(base=IterableTask, atomic=Atomic.django())\n"
        "def work(*, cursor=0): yield 1\n"
        "work()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env={}
    )
    assert "DefinitionError: __main__.work: Atomic.django(using='default') finds no" in done.stderr
    assert 'os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")' in done.stderr


def test_django_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("celery_graceful.atomic.django_database.find_spec", lambda name: None)
    (problem,) = Atomic.django().problems()
    assert "pip install 'celery-graceful[django]'" in problem
