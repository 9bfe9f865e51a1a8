"""Checkpoints of another version, and of other code, as one execution sees them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery

from celery_graceful import GracefulTask, IterableTask, iterable_task
from celery_graceful.errors import CursorError
from celery_graceful.execution.execution import Execution
from celery_graceful.execution.journal.code_changes import (
    NotMigrated,
    code_of,
    migrated,
    note_other_code,
    other_code,
)
from celery_graceful.execution.quarantine.replay import Replay
from celery_graceful.model.run.cursor import Checkpoint, decode, encode
from celery_graceful.model.run.record import RunKey
from celery_graceful.runs.quarantined_items import QuarantinedItem
from celery_graceful.sources import numbers
from celery_graceful.tasks import definitions


@pytest.fixture
def app() -> Iterator[Celery]:
    with Celery("changes", broker="memory://", set_as_current=False) as app:
        yield app


class Second(IterableTask):
    """Its cursor was a number; it is a list with one now."""

    name = "changes.second"
    cursor_version = 2

    def build_enumerator(self, *, cursor: Any) -> Any:
        return ((n, [n]) for n, _ in numbers(0, 5, cursor=None if cursor is None else cursor[0]))

    def each_iteration(self, item: int) -> None:
        self.carry["sum"] = self.carry.get("sum", 0) + item


class Migrating(Second):
    name = "changes.migrating"

    def migrate_cursor(self, cursor: Any, carry: dict[str, Any], version: int) -> Any:
        assert version == 1
        carry["sum"] = carry.pop("total", 0)
        return [cursor]


FIRST = Checkpoint(3, {"total": 6}, 4, 5, in_doubt=4)


def test_a_version_is_part_of_the_checkpoint() -> None:
    assert '"version"' not in encode(FIRST)
    for checkpoint in (Checkpoint(3, version=7), Checkpoint([3], {"a": 1}, 2, version=7)):
        assert decode(encode(checkpoint)) == checkpoint
        assert decode(encode(checkpoint)).version == 7
    assert decode('{"cursor":3,"carry":{},"steps":1,"total":null}').version == 1
    for wrong in ('"version":0', '"version":"2"', '"version":true', '"code":"A\\"b"', '"code":5'):
        with pytest.raises(CursorError, match="cannot be read"):
            decode(f'{{"cursor":3,"carry":{{}},"steps":1,"total":null,{wrong}}}')


def test_a_migration(app: Celery) -> None:
    task = app.register_task(Migrating())
    made = migrated(task, FIRST)
    assert made == Checkpoint([3], {"sum": 6}, 4, None, in_doubt=[4], version=2)
    assert FIRST.carry == {"total": 6}
    assert migrated(task, made) is made


def test_no_migration_and_an_older_code(app: Celery) -> None:
    task = app.register_task(Second())
    with pytest.raises(NotMigrated, match=r"cursor_version 1, .* has 2 and no migrate_cursor"):
        migrated(task, FIRST)
    for later in (task, app.register_task(Migrating())):
        with pytest.raises(NotMigrated, match=r"cursor_version 3, .* older: it has 2"):
            migrated(later, Checkpoint(3, steps=1, version=3))


def test_nothing_was_done_yet(app: Celery) -> None:
    task = app.register_task(Second())
    assert migrated(task, Checkpoint(total=7)) == Checkpoint(total=7, version=2)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (ZeroDivisionError("x"), "raised ZeroDivisionError"),
        (object(), "raised Cursor"),
        (None, "returned None"),
    ],
)
def test_a_migration_that_fails(app: Celery, answer: Any, message: str) -> None:
    def migrate(cursor: Any, carry: dict[str, Any], version: int) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    task = app.register_task(type("Own", (Second,), {"migrate_cursor": staticmethod(migrate)})())
    with pytest.raises(NotMigrated, match=message):
        migrated(task, FIRST)


def test_the_option_of_a_generator(app: Celery) -> None:
    def migrate(cursor: Any, carry: dict[str, Any], version: int) -> Any:
        return (cursor, version)

    @app.task(base=IterableTask, cursor_version=4, migrate_cursor=migrate)
    def generator(*, cursor: Any = None) -> Iterator[Any]:
        yield (1, 1)

    assert definitions.faults_in(app) == []
    assert migrated(generator, Checkpoint(9, steps=2, version=3)).cursor == (9, 3)


def test_a_run_begins_with_the_version_of_the_code(app: Celery) -> None:
    task = app.register_task(Migrating())
    execution = Execution(task, (), {}, FIRST)
    assert (execution.cursor, execution.carry, execution.not_migrated) == ([3], {"sum": 6}, "")
    assert execution.is_migrated
    assert execution.checkpoint.version == 2
    stuck = Execution(app.register_task(Second()), (), {}, FIRST)
    assert stuck.checkpoint == FIRST  # saved as it was found
    assert "no migrate_cursor" in stuck.not_migrated
    assert task.apply(kwargs={"cursor": [2]}).state == "SUCCESS"  # one that a caller gives


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cursor_version": 0}, "cursor_version = 0 is wrong"),
        ({"cursor_version": "2"}, "cursor_version = '2' is wrong"),
        ({"cursor_version": True}, "cursor_version = True is wrong"),
        ({"migrate_cursor": 7}, "migrate_cursor = 7 is wrong"),
        ({"migrate_cursor": lambda cursor: cursor}, "migrate_cursor = .* is wrong"),
    ],
)
def test_wrong_options(app: Celery, options: dict[str, Any], message: str) -> None:
    app.register_task(type("Wrong", (Second,), options)())
    (fault,) = definitions.faults_in(app)
    assert message.split(" = ")[0] in fault
    assert "Expected" in fault


def test_quarantined_items_of_an_older_version_are_replayed(app: Celery) -> None:
    task: Any = app.register_task(Migrating())
    entry = QuarantinedItem(3, 2, 3, "3", "error", "traceback", 0.0)

    def item(kind: Any) -> Any:
        replay = Replay(Execution(kind, (), {}, Checkpoint()), RunKey("t", "i"), None, frozenset())  # type: ignore[arg-type]
        return replay._item(entry)

    # It pops from the carry with a default.
    assert item(task) == 3
    with pytest.raises(NotMigrated, match="no migrate_cursor"):
        item(app.register_task(Second()))


# -- other code ------------------------------------------------------------------------------


def of_code(app: Celery, text: str, base: type = Second) -> str:
    scope: dict[str, Any] = {}
    exec(text, scope)
    task: Any = app.register_task(
        type(f"T{len(app.tasks)}", (base,), {"each": scope["each"], "name": f"t{len(app.tasks)}"})()
    )
    return code_of(task)


def test_the_hash_of_a_task_is_that_of_what_it_does(app: Celery) -> None:
    code = of_code(app, "def each(self, a):\n    return a in {'x', 'y'}")
    assert of_code(app, "# moved\n\ndef each(self, a):\n    return a in {'x', 'y'}  # why") == code
    assert of_code(app, "def each(self, a):\n    return a in {'x', 'z'}") != code
    assert of_code(app, "def each(self, a):\n    return a") != code
    assert of_code(app, "def each(self, a):\n    return (lambda: a)()") != of_code(
        app, "def each(self, a):\n    return (lambda: -a)()"
    )


def test_the_hash_of_a_generator(app: Celery) -> None:
    @app.task(base=IterableTask, name="one")
    def one(*, cursor: int = 0) -> Iterator[int]:
        yield 1

    @app.task(base=IterableTask, name="two")
    def two(*, cursor: int = 0) -> Iterator[int]:
        yield 2

    first: Any = app.tasks[one.name]
    second: Any = app.tasks[two.name]
    assert code_of(first) != code_of(second)
    assert other_code(first, code_of(first)) == ""
    assert other_code(first, code_of(second)) == code_of(first)
    assert other_code(first, "2.7-abc") == ""  # compiled by another Python


def test_attributes_that_raise_are_no_code(app: Celery) -> None:
    class Unbound:
        def __getattribute__(self, name: str) -> Any:
            raise RuntimeError("working outside of a context")

    task: Any = app.register_task(type("Odd", (Second,), {"proxy": Unbound()})())
    assert code_of(task)


def test_the_note_stays_with_the_exception() -> None:
    error: Any = ValueError("x")
    note = note_other_code(error, [3], "3.11-aa", "3.11-bb")
    assert error.__notes__ == [note]
    assert "after cursor [3]" in note
    assert "3.11-aa then, and is 3.11-bb now" in note


def test_the_code_of_those_who_did_items_is_saved(app: Celery) -> None:
    task = app.register_task(Migrating())
    execution = Execution(task, (), {}, Checkpoint([1], steps=2, version=2, code="3.11-aa"))
    assert execution.checkpoint.code == "3.11-aa"
    execution.settle([2], 1)
    assert execution.checkpoint.code == code_of(task)


# -- former names ----------------------------------------------------------------------------


def test_former_names(app: Celery) -> None:
    from celery_graceful.tasks import former_names

    task: Any = app.register_task(type("Renamed", (Second,), {"former_names": ["old", "older"]})())
    shared = iterable_task(Migrating, former_names=("oldest",))
    assert shared.name
    app.finalize()
    assert definitions.faults_in(app) == []
    assert {each.name for each in former_names.register(app)} >= {"old", "older"}
    assert former_names.register(app) == []
    assert definitions.faults_in(app) == []
    alias: Any = app.tasks["old"]
    assert alias.apply().state == "SUCCESS"
    assert alias.request_stack is not None
    assert isinstance(alias, type(task))
    assert code_of(alias) == code_of(task)


def test_former_names_of_another_task(app: Celery) -> None:
    from celery_graceful.tasks import former_names

    @app.task(base=GracefulTask, name="now", former_names=["before"])
    def now(number: int) -> int:
        return number + 1

    assert [task.name for task in former_names.register(app)] == ["before"]
    before: Any = app.tasks["before"]
    assert before.apply((1,)).get() == 2


def test_a_former_name_that_cannot_be_registered(
    app: Celery, caplog: pytest.LogCaptureFixture
) -> None:
    from celery_graceful.tasks import former_names

    class Strict(Second):
        former_names = ("old",)

        def __init_subclass__(cls, **options: Any) -> None:
            super().__init_subclass__(**options)
            if cls.name == "old":
                raise RuntimeError("not this one")

    app.register_task(Strict())
    app.register_task(type("Other", (Second,), {"name": "other", "former_names": ["older"]})())
    assert [task.name for task in former_names.register(app)] == ["older"]
    assert "cannot be registered under its former name old" in caplog.text


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("old", "former_names = 'old' is wrong. Expected: a list"),
        (["changes.second"], "has the task's own name"),
        (["changes.migrating"], "'changes.migrating' is that of another task"),
        (["shared"], "'shared' is one of changes.third too"),
        ([""], "is wrong. Expected: a list of names"),
    ],
)
def test_former_names_in_conflict(app: Celery, names: Any, message: str) -> None:
    from celery_graceful.tasks import former_names

    app.register_task(type("A", (Second,), {"former_names": names})())
    app.register_task(Migrating())
    app.register_task(type("B", (Second,), {"former_names": ["shared"], "name": "changes.third"})())
    faults = definitions.faults_in(app)
    assert any(message in fault for fault in faults), faults
    added = [task.name for task in former_names.register(app)]
    assert "changes.migrating" not in added
    assert (added == []) == (names == ["shared"])
