"""Kills a process at each step of an atomic run in turn, and has others carry the run on.

A program, for it forks: ``python -m … steps FIRST:STRIDE DATABASE STORE FOLDER TASK WHAT EVERY``,
or ``moments TIMES …``. Prints one line of JSON for each run: where it was killed, and the effects
that are in the database in the end.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.orm import Session

# What a run imports when it first uses it: once here, instead of in each child.
from celery_graceful.atomic import alchemy_locks, alchemy_table, alchemy_work  # noqa: F401
from celery_graceful.stores.base import Store
from celery_graceful.stores.sql import store as sql_store  # noqa: F401
from tests.integration.atomic.project import Project, inside_a_worker

ITEMS = 8
#: More steps than any run here has.
MANY = 1000


class Watched:
    """A store that tells of each call, before and after it."""

    def __init__(self, store: Store, step: Callable[[str], object]) -> None:
        self._store = store
        self._step = step

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if name not in ("load", "swap", "checkpoint"):
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            self._step(f"before the store's {name}")
            answer = found(*args, **kwargs)
            self._step(f"after the store's {name}")
            return answer

        return call


def watch(project: Project, step: Callable[[str], object]) -> None:
    """Have ``step`` called with a name at every step of a run."""
    project.step = step
    project.runtime.__dict__["store"] = Watched(project.runtime.store, step)
    if project.alias:
        watch_django(project.alias, step)
        return
    for name in ("before_cursor_execute", "after_cursor_execute"):
        event.listen(
            project.engine, name, lambda *found, name=name: step(f"{name} {found[2][:30]!r}")
        )
    event.listen(project.engine, "commit", lambda connection: step("before a commit"))
    event.listen(Session, "after_commit", lambda session: step("after a commit"))


def watch_django(alias: str, step: Callable[[str], object]) -> None:
    """The same on Django's connection of this thread."""
    from django.db import connections

    connection = connections[alias]
    commit = connection._commit

    def executed(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        step(f"before_cursor_execute {sql[:30]!r}")
        try:
            return execute(sql, params, many, context)
        finally:
            step(f"after_cursor_execute {sql[:30]!r}")

    def committed() -> None:
        step("before a commit")
        commit()
        step("after a commit")

    connection.execute_wrappers.append(executed)
    connection._commit = committed


def in_a_child(work: Callable[[], object], kill_after: float | None = None) -> bool:
    """Fork and work there; returns whether the child lived to its end."""
    pid = os.fork()
    if not pid:
        try:
            work()
            sys.stdout.flush()
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(3)
        os._exit(0)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(pid, signal.SIGKILL)
    status = os.waitpid(pid, 0)[1]
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL, status
        return False
    assert status == 0, "the run has failed, see above"
    return True


class Trial:
    """One run: begun by a process that is killed, brought to its end by another."""

    def __init__(self, number: int, arguments: list[str]) -> None:
        self.database, self.store, folder, self.task, self.what, self.every = arguments
        self.run = f"run-{number}"
        self.folder = Path(folder, self.run)
        self.folder.mkdir()

    def project(self) -> Project:
        every = int(self.every) if self.every.isdecimal() else self.every
        project = Project(self.database, self.store, self.folder, every=every)
        if self.what == "is brief":  # the store hears of its begin and its end only
            type(project.app.tasks[self.task]).checkpoint_interval = 60
        return project

    def clear(self) -> None:
        """Remove what the run before has left."""
        self.project().clear()

    def begin(self, kill_at: int) -> None:
        """Carry the run; die at step ``kill_at`` (0: never)."""
        made, left = self.project(), [kill_at]

        def step(name: str) -> None:
            left[0] -= 1
            if left[0] == 0:
                (self.folder / "killed").write_text(name)
                os.kill(os.getpid(), signal.SIGKILL)

        with inside_a_worker():
            watch(made, step)
            made.resume(self.run, ITEMS, self.what, task=self.task)

    def end(self) -> None:
        """Carry the run to its end, print what it came to, and remove its effects."""
        made, killed = self.project(), self.folder / "killed"
        with inside_a_worker():
            outcome = made.resume(self.run, ITEMS, self.what, task=self.task)
        record = made.record(self.run, self.task)
        assert record is not None
        told = {
            "step": killed.read_text() if killed.exists() else "",
            "items": sorted(made.effects("item").elements()),
            **{kind: made.effects(kind).total() for kind in ("start", "complete", "stop")},
            "outcome": str(record.outcome),
            "result": outcome.retval if outcome is not None else None,
            "rows": len([row for row in made.rows() if row.id == self.run]),
        }
        print(json.dumps(told))
        made.clear()


def at_each_step(arguments: list[str], first: int, stride: int) -> None:
    """Kill at every ``stride``-th step, until a run has no such step any more."""
    for number in range(first, MANY, stride):
        trial = Trial(number, arguments)
        lived = in_a_child(partial(trial.begin, number))
        in_a_child(trial.end)
        if lived and number:
            return
    raise AssertionError("the run has no end")


def at_any_moment(arguments: list[str], times: int, seed: int) -> None:
    """Kill ``times`` times, at moments that are spread over the time a run takes."""
    began = time.monotonic()
    whole = Trial(0, arguments)
    in_a_child(partial(whole.begin, 0))
    longest = time.monotonic() - began
    in_a_child(whole.clear)
    chance = random.Random(seed)
    for number in range(1, times + 1):
        trial = Trial(number, arguments)
        in_a_child(partial(trial.begin, 0), kill_after=chance.uniform(0, longest))
        in_a_child(trial.end)


def main(how: str, number: str, *arguments: str) -> None:
    in_a_child(Project(arguments[0], arguments[1], Path(arguments[2])).create)
    if how == "moments":
        at_any_moment(list(arguments), int(number), seed=1)
    else:
        first, stride = number.split(":")
        at_each_step(list(arguments), int(first), int(stride))


if __name__ == "__main__":
    main(*sys.argv[1:])
