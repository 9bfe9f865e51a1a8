"""One worker's way to the store: it may be cut, lose an answer, or be overtaken in between.

Every write is judged: who may write, what may not go back, what an end needs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from celery_graceful.errors import StoreUnavailable
from celery_graceful.model.run.record import Outcome, Record, RunKey
from celery_graceful.stores.base import Flushed, Swapped

if TYPE_CHECKING:
    from tests.lives.cast import Execution, Worker
    from tests.lives.world import World

T = TypeVar("T")


class Pen:
    """A store as ``worker`` reaches it, on behalf of ``execution``, if any."""

    def __init__(
        self, world: World, worker: Worker | None, execution: Execution | None = None
    ) -> None:
        self._world = world
        self._worker = worker
        self._execution = execution
        #: What an operator does, who writes with it.
        self.verb = ""

    def __getattr__(self, name: str) -> Any:
        self._reach()
        return getattr(self._world.place.store, name)

    def swap(self, run: RunKey, expected: int, record: Record, **times: Any) -> Swapped:
        return self._write(lambda: self._world.place.store.swap(run, expected, record, **times))

    def checkpoint(self, *args: Any, **times: Any) -> Flushed:
        return self._write(lambda: self._world.place.store.checkpoint(*args, **times))

    def check(self) -> None:
        self._reach()
        self._refuse()
        self._world.place.store.check()

    def _refuse(self) -> None:
        if self._world.refuses and self._worker is not None:
            raise StoreUnavailable("refused")

    def _reach(self) -> None:
        if self._worker is not None and (self._worker.cut or self._world.away):
            raise StoreUnavailable("away")

    def _write(self, call: Callable[[], T]) -> T:
        self._reach()
        self._world.let_happen()
        self._refuse()
        before = self._world.record
        answer = call()
        if getattr(answer, "done", False) or getattr(answer, "accepted", False):
            self._judge(before)
            if self._worker is not None and self._worker.loses:
                self._worker.loses -= 1
                raise StoreUnavailable("the answer was lost")
        return answer

    def _judge(self, before: Record | None) -> None:
        world, after = self._world, self._world.record
        if after is None:
            assert self.verb == "delete", "forgotten by nobody"
            return
        execution, anew = self._execution, before is None or not before.live
        if world.missing and before is None:
            self._judge_back(after)
            return
        if execution is not None and execution.record is not None:
            assert execution is world.latest, f"a stale execution wrote: {execution}"
        if before is not None:
            assert after.fence >= before.fence
            assert anew or after.generation >= before.generation
        if anew and self.verb:
            assert before is not None, "made by an operator of nothing"
            assert after.live <= (after.reason == "retried"), "begun by an operator"
        elif anew:
            assert execution is not None, "started by nobody's message"
            assert after.live, "an end without a beginning"
            world.begin(execution.message.use)
        by_right = (
            execution is not None and before is not None and execution.message.left == before.fence
        )
        takes_over = execution is not None and execution.record is None and not by_right
        if takes_over and before is not None and before.owner:
            # A message of the same generation, and a lease that is over: the limit of G2 in
            # docs/explanation/guarantees.md.
            world.hurt += 1
        if execution is not None and (before is None or after.fence > before.fence):
            world.latest = execution
        position = int(after.checkpoint or 0)
        if self.verb == "rewind":
            world.saved = position
        assert position >= world.saved, f"a checkpoint went back: {world.saved} to {position}"
        world.saved = position
        if after.outcome is Outcome.COMPLETED and not after.live:
            assert set(world.done) == set(range(world.items)), f"lost items: {world.done}"

    def _judge_back(self, after: Record) -> None:
        """The run is in the store again after its record vanished."""
        world, execution = self._world, self._execution
        if not after.live and after.reason == "hard time limit":
            world.missing = False
            return
        assert execution is not None, "written back by nobody's execution"
        assert after.live, "ended without a trace"
        if execution.record is None or execution is not world.latest:
            # By a message, which knows what was done when it was sent; or by an owner from before.
            world.hurt += 1
        world.latest, world.missing = execution, False
        world.failed = after.outcome is Outcome.FAILED  # a message knows nothing of that
        world.saved = int(after.checkpoint or 0)
