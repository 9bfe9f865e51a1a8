"""``pause_after`` and ``limit``: exactly so many items, however often the run is interrupted."""

# mypy: allow-untyped-decorators
from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery import Celery
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Integer, create_engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker
from sqlalchemy.pool import StaticPool

from celery_graceful import Atomic, Graceful, IterableTask, sources
from celery_graceful.execution import ending
from celery_graceful.execution.loop.current import current_execution
from celery_graceful.model.run import events as ev
from celery_graceful.model.run.record import RunKey
from celery_graceful.runs.plain_run import Run
from celery_graceful.runs.successors import publish_record
from celery_graceful.runs.transition import transition
from celery_graceful.runtime import runtime_of
from tests.harness.delivered import InProcess

#: An item costs nothing, so an execution sees what is due only where the plan says so.
QUICK = {"graceful_release_timeout": 0.2, "task_ignore_result": True}


class Died(BaseException):
    """The process is gone: nothing after it runs."""


class Base(DeclarativeBase):
    pass


class Row(Base):
    __tablename__ = "rows_done"
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)


class Stage:
    """A shop with each style of task, whose executions end where the plan says."""

    def __init__(self) -> None:
        self.app = app = Celery("shop", broker="memory://", set_as_current=False)
        app.conf.update(graceful_store="memory://", graceful_namespace=uuid.uuid4().hex, **QUICK)
        self.runs = Graceful(app).runs
        self.worker = InProcess(app)
        self.runtime = runtime_of(app)
        self.engine = create_engine(
            "sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False}
        )
        Base.metadata.create_all(self.engine)
        self.reset([])
        self._define()

    def reset(self, plan: list[tuple[int, bool]]) -> None:
        #: Items that began, in order; where the executions end, by the number of those.
        self.begun: list[Any] = []
        self.plan = dict(plan)
        self.hooks: list[str] = []
        self.deaths = 0
        with Session(self.engine) as session:
            session.query(Row).delete()
            session.commit()

    def item(self, number: Any) -> None:
        self.begun.append(number)
        kills = self.plan.get(len(self.begun))
        if kills:
            self.deaths += 1
            raise Died
        if kills is not None:
            self.worker.stop()
            execution: Any = current_execution.get()
            execution.fuse.clear()  # as the ticker does

    def _define(self) -> None:
        stage = self

        class OfClass(IterableTask):
            name = "class"

            def build_enumerator(self, many: int, *, cursor: int | None) -> Any:
                return sources.sequence(range(many), cursor=cursor)

            def each_iteration(self, number: int, many: int) -> None:
                stage.item(number)
                self.carry["sum"] = self.carry.get("sum", 0) + number

            def on_complete(self, many: int) -> None:
                stage.hooks.append("complete")

            def result(self, many: int) -> int:
                stage.hooks.append("result")
                return int(self.carry.get("sum", 0))

        class InDoubt(OfClass):
            name = "in doubt"
            track_in_doubt = True

        class OfBatches(OfClass):
            name = "batches"

            def build_enumerator(self, many: int, *, cursor: int | None) -> Any:
                whole = sources.sequence(range(many * 3), cursor=cursor)
                return sources.batches(whole, 3)

            def each_iteration(self, batch: Any, many: int) -> None:
                stage.item(batch[0] // 3)
                self.carry["sum"] = self.carry.get("sum", 0) + batch[0] // 3

        class InTransactions(OfClass):
            name = "atomic"
            atomic = Atomic.sqlalchemy(sessionmaker(stage.engine), every=7)

            def each_iteration(self, number: int, many: int) -> None:
                self.transaction.session.add(Row(number=number))
                super().each_iteration(number, many)

        for task in (OfClass, InDoubt, OfBatches, InTransactions):
            self.app.register_task(task())

        @self.app.task(base=IterableTask, name="generator", shared=False)
        def generator(many: int, *, cursor: int | None = None) -> Iterator[int]:
            for number in range(0 if cursor is None else cursor + 1, many):
                stage.item(number)
                yield number
            stage.hooks.extend(["complete", "result"])

    def run_on(self, run: Run) -> Run:
        """Have workers execute the run, and end as planned, until it rests."""
        key = RunKey(run.task, run.id)
        for _ in range(60):
            try:
                self.worker.deliver()
            except Died:
                self._bring_back(key)
            now = self.runs.get(run.id)
            if now.ended or now.state == "paused":
                return now
        raise AssertionError(f"{now} does not end")

    def _bring_back(self, key: RunKey) -> None:
        """The main process sees the child die, and the broker delivers the message again."""
        record = self.runtime.store.load(key).record
        assert record is not None
        assert record.owner is not None
        release = ev.Release(record.owner, record.generation)
        done = transition(self.runtime.store, key, release, self.runtime.policy)
        assert done.record is not None
        publish_record(self.runtime, key, done.record, who="test")

    def rows(self) -> list[int]:
        with Session(self.engine) as session:
            return sorted(session.scalars(select(Row.number)))


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ending, "fail", _dying(ending.fail))
        stage = Stage()
        yield stage
        stage.app.close()
        stage.engine.dispose()


def _dying(fail: Callable[..., Any]) -> Callable[..., Any]:
    def fail_or_die(run: Any, exc: BaseException) -> None:
        if isinstance(exc, Died):
            run.execution.work.close()
            raise exc
        fail(run, exc)

    return fail_or_die


STYLES = ("generator", "class", "atomic", "batches", "in doubt")
#: Where an execution ends, counted in items that begin: by a kill, or by a stop after the item.
PLANS = st.lists(st.tuples(st.integers(1, 40), st.booleans()), max_size=4)


@pytest.mark.parametrize("style", STYLES)
@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    many=st.integers(1, 25),
    pause_after=st.none() | st.integers(1, 30),
    limit=st.none() | st.integers(1, 30),
    plan=PLANS,
)
def test_exactly_so_many_items(
    stage: Stage,
    style: str,
    many: int,
    pause_after: int | None,
    limit: int | None,
    plan: list[tuple[int, bool]],
) -> None:
    if pause_after and limit and pause_after >= limit:
        pause_after, limit = limit, pause_after + 1
    stage.reset(plan)
    run = stage.runs.start(style, [many], pause_after=pause_after, limit=limit)
    assert run.state == "queued"
    now = stage.run_on(run)
    if pause_after is not None and pause_after <= many:
        assert now.state == "paused"
        check_items(stage, style, now, pause_after)
        items = "1 item" if pause_after == 1 else f"{pause_after} items"
        assert now.reason == f"paused after {items} as asked at its start; resume to continue"
        assert "result" not in stage.hooks
        stage.runs.resume(run.id)
        now = stage.run_on(run)
    done = min(many, limit or many)
    assert now.state == "completed", now
    check_items(stage, style, now, done)
    is_limited = limit is not None and limit <= many
    assert ("complete" in stage.hooks) is not is_limited
    if is_limited:
        assert "its limit" in (now.reason or "")


def check_items(stage: Stage, style: str, run: Run, done: int) -> None:
    assert run.steps == done
    # Interrupted runs repeat what was not saved; nothing beyond the bound ever begins.
    assert sorted(set(stage.begun)) == list(range(done))
    if not stage.deaths:
        assert stage.begun == list(range(done))
    if style == "atomic":
        assert stage.rows() == list(range(done))
