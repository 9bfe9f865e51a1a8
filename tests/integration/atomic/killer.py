"""Kills a process at each step of an atomic run in turn, and has others carry the run on.

A program, for it forks: ``python -m … DATABASE STORE FOLDER TASK WHAT EVERY STRIDE``. Prints one
line of JSON for each step: its name, and the effects that are in the database in the end.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.orm import Session

from celery_graceful.stores.base import Store
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
    for name in ("before_cursor_execute", "after_cursor_execute"):
        event.listen(
            project.engine, name, lambda *found, name=name: step(f"{name} {found[2][:30]!r}")
        )
    event.listen(project.engine, "commit", lambda connection: step("before a commit"))
    event.listen(Session, "after_commit", lambda session: step("after a commit"))


def in_a_child(work: Callable[[], object]) -> bool:
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
    status = os.waitpid(pid, 0)[1]
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL, status
        return False
    assert status == 0, "the run has failed, see above"
    return True


def main(
    database: str, store: str, folder: str, task: str, what: str, every: str, stride: str
) -> None:
    in_a_child(Project(database, store, Path(folder)).create)
    for number in range(0, MANY, int(stride)):
        run = f"run-{number}"
        place = Path(folder, run)
        place.mkdir()

        def project(place: Path = place) -> Project:
            wanted = int(every) if every.isdecimal() else every
            return Project(database, store, place, every=wanted)

        def first(run: str = run, number: int = number, place: Path = place) -> None:
            made = project()
            made.clear()
            left = [number]

            def step(name: str) -> None:
                left[0] -= 1
                if left[0] == 0:
                    (place / "killed").write_text(name)
                    os.kill(os.getpid(), signal.SIGKILL)

            with inside_a_worker():
                watch(made, step)
                made.carry_on(run, ITEMS, what, task=task)

        def later(run: str = run, place: Path = place) -> None:
            made = project()
            with inside_a_worker():
                outcome = made.carry_on(run, ITEMS, what, task=task)
            record = made.record(run, task)
            assert record is not None
            told = {
                "step": (place / "killed").read_text() if (place / "killed").exists() else "",
                "items": sorted(made.effects("item").elements()),
                "start": made.effects("start").total(),
                "complete": made.effects("complete").total(),
                "stop": made.effects("stop").total(),
                "outcome": str(record.outcome),
                "result": outcome.retval if outcome is not None else None,
                "rows": len([row for row in made.rows() if row.id == run]),
            }
            print(json.dumps(told))

        killed = not in_a_child(first)
        in_a_child(later)
        if not killed and number:
            return
    raise AssertionError("the run has no end")


if __name__ == "__main__":
    main(*sys.argv[1:])
