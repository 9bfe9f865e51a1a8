"""The tasks of the project: each effect is a row in the database of their own transactions."""

# mypy: allow-untyped-decorators
from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, Integer, MetaData, String, Table

from celery_graceful import IterableTask
from celery_graceful.model.run.reasons import StopReason
from celery_graceful.stop import flag

if TYPE_CHECKING:
    from tests.integration.atomic.project import Project

TASK, GENERATOR = "proj.atomic", "proj.atomic_generator"

metadata = MetaData()
#: What the tasks did: one row for each effect, in the database of their own transactions.
effects = Table(
    "effects",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("kind", String(20)),
    Column("item", Integer),
)


def make_tasks(project: Project) -> None:
    """Register them with the project's app."""

    def note(task: Any, kind: str, item: int = 0) -> None:
        project.step(f"{kind} {item} begins")
        project.write(task, item, kind)
        project.step(f"{kind} {item} is done")

    def work(task: Any, item: int, what: str) -> None:
        note(task, "item", item)
        task.carry["sum"] = task.carry.get("sum", 0) + item
        if item == 5 and what == "fails once" and project.once("failed"):
            raise OSError("once")
        if item == 5 and what == "retries once" and project.once("failed"):
            raise task.retry(countdown=0)
        if item == 4 and what == "stops once" and project.once("stopped"):
            stop = flag.current()
            assert stop is not None
            stop.raise_(StopReason.SHUTDOWN)
            stop.release()

    class Hooked(IterableTask):
        abstract = True
        atomic = project.atomic
        checkpoint_interval = "1ms"
        autoretry_for = (OSError,)
        retry_backoff = False
        default_retry_delay = 0

        def on_start(self, *args: Any) -> None:
            note(self, "start")

        def on_complete(self, *args: Any) -> None:
            note(self, "complete")

        def on_stop(self, reason: str, *args: Any) -> None:
            note(self, "stop")

        def on_cancel(self, *args: Any) -> None:
            note(self, "cancel")

    class Numbers(Hooked):
        name = TASK

        def build_enumerator(self, n: int, what: str = "", *, cursor: int | None) -> Any:
            for item in range(0 if cursor is None else cursor + 1, n):
                yield item, item

        def each_iteration(self, item: int, n: int, what: str = "") -> None:
            work(self, item, what)

        def result(self, n: int, what: str = "") -> Any:
            return {"sum": self.carry.get("sum", 0)}

    project.app.register_task(Numbers())

    @project.app.task(base=Hooked, name=GENERATOR, bind=True, shared=False)
    def numbers(self: Any, n: int, what: str = "", *, cursor: int = -1) -> Any:
        for item in range(cursor + 1, n):
            work(self, item, what)
            yield item
        return {"sum": self.carry.get("sum", 0)}
