"""A project with atomic tasks, carried in this process as a worker's pool child would."""

from __future__ import annotations

import json
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any, cast

from celery import Celery
from celery.app.trace import build_tracer
from django.db import connections
from sqlalchemy import create_engine, delete, event, insert, select, text
from sqlalchemy.orm import sessionmaker

from celery_graceful import Atomic, IterableTask
from celery_graceful._celery.message.headers import GENERATION, RAW
from celery_graceful.model.run import events as ev
from celery_graceful.model.run.record import Record, RunKey
from celery_graceful.runs.transition import transition
from celery_graceful.runtime import Runtime, runtime_of
from celery_graceful.stop import flag
from tests.harness.django_aliases import alias_for
from tests.integration.atomic.tasks import TASK, effects, make_tasks, metadata

#: Makes a project; keyword arguments as :class:`Project`.
MakeProject = Callable[..., "Project"]

#: Each item once.
ONCE = dict.fromkeys(range(8), 1)

WORKER = "w@host/1"


class Project:
    """An app, its database and its store. Nothing is connected before it is used.

    Args:
        database: URL of the tasks' database; after ``django+``, the tasks use Django's ORM.
        store: URL of the runs' store.
        folder: for what the tasks remember beside the database.
        every: the batches of the tasks.
        conf: more configuration.
    """

    def __init__(
        self, database: str, store: str, folder: Path, every: Any = 3, **conf: Any
    ) -> None:
        self.orm, database = split(database)
        self.url = database
        self.engine = create_engine(database)
        if self.engine.dialect.name == "sqlite":
            event.listen(self.engine, "connect", _write_ahead)
        self.session = sessionmaker(self.engine)
        self._open = ExitStack()
        self.folder = folder
        #: Called at each named step of the tasks.
        self.step: Callable[[str], object] = lambda name: None
        self.app: Any = Celery(
            "proj", broker="memory://", backend="cache+memory://", set_as_current=False
        )
        self.app.conf.update(
            {
                "graceful_store": store,
                "graceful_release_timeout": "50ms",
                "graceful_progress": False,
                "graceful_lease_ttl": 5,
                **conf,
            }
        )
        #: The alias of Django's that the tasks write to.
        self.alias = self._open.enter_context(alias_for(database)) if self.orm == "django" else ""
        self.atomic = self.atomically(every)
        make_tasks(self)
        self.app.finalize()

    def atomically(self, every: Any = 3) -> Atomic:
        """The option of the tasks."""
        if self.alias:
            return Atomic.django(using=self.alias, every=every)
        return Atomic.sqlalchemy(self.session, every=every)

    def write(self, task: Any, item: int, kind: str = "item", **more: Any) -> None:
        """Leave an effect, within the task's transaction."""
        row = {"kind": kind, "item": item, **more}
        if self.alias:
            from tests.integration.atomic.django_rows import Effect

            Effect(**row).save(using=task.transaction.using, force_insert=True)
        else:
            task.transaction.session.execute(insert(effects), row)

    def execute(self, task: Any, statement: str) -> None:
        """Execute a statement within the task's transaction."""
        if self.alias:
            with task.transaction.connection.cursor() as cursor:
                cursor.execute(statement)
        else:
            task.transaction.session.execute(text(statement))

    def savepoint(self, task: Any) -> AbstractContextManager[Any]:
        """A savepoint of an item's own."""
        if self.alias:
            from django.db import transaction

            return cast("AbstractContextManager[Any]", transaction.atomic(using=self.alias))
        return cast("AbstractContextManager[Any]", task.transaction.session.begin_nested())

    @property
    def errors(self) -> dict[str, type[Exception]]:
        """The ORM's errors, by name."""
        if self.alias:
            from django.db import IntegrityError, OperationalError
        else:
            from sqlalchemy.exc import IntegrityError, OperationalError
        return {each.__name__: each for each in (IntegrityError, OperationalError)}

    def create(self) -> None:
        """Make the table of effects, empty."""
        metadata.drop_all(self.engine)
        metadata.create_all(self.engine)

    def clear(self) -> None:
        """Remove all effects."""
        with self.engine.begin() as connection:
            connection.execute(delete(effects))

    def close(self) -> None:
        """Disconnect."""
        runtime_of(self.app).store.close()
        self._open.close()
        self.engine.dispose()
        self.app.close()

    @property
    def runtime(self) -> Runtime:
        return runtime_of(self.app)

    # -- what the tasks did -----------------------------------------------------------------

    def effects(self, kind: str) -> Counter[int]:
        """How often each effect of a kind is in the database."""
        with self.engine.connect() as connection:
            found = connection.execute(select(effects.c.item).where(effects.c.kind == kind))
            return Counter(found.scalars())

    def rows(self) -> list[Any]:
        """What is in ``graceful_checkpoints``."""
        from celery_graceful.atomic.alchemy_table import checkpoints

        with self.engine.connect() as connection:
            if not self.engine.dialect.has_table(connection, checkpoints.name):
                return []
            return list(connection.execute(select(checkpoints)))

    def once(self, name: str) -> bool:
        """True the first time, across processes."""
        try:
            (self.folder / name).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    # -- deliveries -------------------------------------------------------------------------

    def record(self, run: str, task: str = TASK) -> Record | None:
        return self.runtime.store.load(RunKey(task, run)).record

    def deliver(
        self,
        run: str,
        *args: Any,
        task: str = TASK,
        generation: int = 0,
        redelivered: bool = False,
        retries: int = 0,
    ) -> Any:
        """Run a task's message as Celery does; returns its outcome and Celery's information."""
        stopped = flag.current()
        if stopped is not None and stopped.raised:
            flag.owned(WORKER).release()  # another worker
        body = json.dumps([args, {}, {"callbacks": None, "errbacks": None, "chain": None}])
        headers = {"id": run, "task": task, "lang": "py"}
        request = {
            "id": run,
            "task": task,
            "args": args,
            "kwargs": {},
            "timelimit": [None, None],
            "retries": retries,
            "hostname": "w@host",
            "delivery_info": {
                "exchange": "",
                "routing_key": "celery",
                "redelivered": redelivered,
            },
            "properties": {
                "correlation_id": run,
                RAW: (body.encode(), "application/json", "utf-8", headers),
            },
            **({GENERATION: generation} if generation else {}),
        }
        made = self.app.tasks[task]
        try:
            done: Any = build_tracer(task, made, app=self.app)(run, list(args), {}, request)
            return done
        finally:
            if self.alias and threading.current_thread() is not threading.main_thread():
                connections[self.alias].close()  # each thread has one of its own

    def happen(self, run: str, event: ev.Event, task: str = TASK) -> None:
        """Let something happen to a run."""
        transition(self.runtime.store, RunKey(task, run), event, self.runtime.policy)

    def resume(self, run: str, *args: Any, task: str = TASK) -> Any:
        """Deliver until the run has ended, as brokers and rescuers do; returns the last outcome."""
        outcome = None
        for _ in range(20):
            record = self.record(run, task)
            if record is None:
                outcome = self.deliver(run, *args, task=task, redelivered=True)
                continue
            if not record.live:
                return outcome
            if record.owner is not None:  # the main process has seen its child die
                self.happen(run, ev.Release(record.owner, record.generation), task)
            outcome = self.deliver(
                run, *args, task=task, generation=record.generation, redelivered=True
            )
        raise AssertionError(f"{run} does not end: {self.record(run, task)}")


def split(database: str) -> tuple[str, str]:
    """The ORM of a project's tasks, and the URL."""
    url = database.removeprefix("django+")
    return ("sqlalchemy" if url == database else "django"), url


@contextmanager
def inside_a_worker() -> Iterator[flag.StopFlag]:
    """Tasks find a stop flag, as in a worker."""
    raised = flag.owned(WORKER)
    raised.release()
    try:
        yield raised
    finally:
        flag.withdraw()


def new_id() -> str:
    return uuid.uuid4().hex


def _write_ahead(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA journal_mode=WAL").close()
    # Survives the end of any process, which is what is tried here.
    connection.execute("PRAGMA synchronous=NORMAL").close()


# -- for tests --------------------------------------------------------------------------------


def is_sqlite(project: Project) -> bool:
    return project.engine.dialect.name == "sqlite"


def check_exact(project: Project) -> None:
    """Every item's effect is there once, and that of the hooks which run once."""
    assert project.effects("item") == ONCE
    assert project.effects("start").total() == 1
    assert project.effects("complete").total() == 1


def own_task(project: Project, each: Callable[..., Any], **options: Any) -> Any:
    """A task with four items and another body."""

    class Own(IterableTask):
        name = "proj.own"
        atomic = options.pop("atomic", project.atomic)
        vars().update(options)

        def build_enumerator(self, *, cursor: Any) -> Any:
            return ((item, item) for item in range(0 if cursor is None else cursor + 1, 4))

        def each_iteration(self, item: int) -> None:
            each(self, item)

    return project.app.register_task(Own())


def commits_of(project: Project) -> list[int]:
    """A list that grows with each batch, by the items that are in the database then."""
    seen: list[int] = []
    database: Any = project.atomic.database
    open_work = database.open

    def opened(task: str, *, carried: bool) -> Any:
        work = open_work(task, carried=carried)
        commit = work.commit

        def committed(mark: Any) -> bool:
            done: bool = commit(mark)
            seen.append(project.effects("item").total())
            return done

        work.commit = committed
        return work

    database.open = opened
    return seen


def interrupted_run(project: Project) -> str:
    """A run that was handed over after some of its items."""
    run = new_id()
    project.deliver(run, 8, "stops once")
    assert 5 <= project.effects("item").total() < 8
    return run
