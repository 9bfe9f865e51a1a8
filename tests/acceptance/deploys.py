"""A deploy: one worker in a process tree is stopped while another, outside it, takes over."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from celery.result import AsyncResult

from tests.acceptance.runs import Stage
from tests.harness import Ledger, Worker, wait_for
from tests.harness.trees import Stopping, Tree

APP = "tests.acceptance.apps.grace"
#: How log lines begin that tell of a task that was cut off, and of a run that left.
HANDED_BACK, LOST = "Handed back", "Lost"
LEFT = "was interrupted"
#: Longer than any grace period here.
LONG = 300.0
#: A grace period of which four seconds go by before the cut; a busy machine needs the rest.
PATIENT = {"grace": 16.0, "margin": 12.0}
#: Whatever goes on elsewhere without being told to begins only after 30 s, the lease, or never. The
#: figure aimed at is 2 s.
LATEST = 10.0
_LINE = r"\[(?P<time>[\d-]+ [\d:]+,\d+): (?P<level>[A-Z]+)/[^\]]*\] "

MakeTree = Callable[..., Tree]
Held = Callable[[], int]


class Deploy:
    """Two workers of ``apps/grace.py`` and the tasks they get.

    Args:
        stage: broker, backend and folder.
        held: tells how many messages are delivered and not acknowledged.
        tree: makes the tree with the first worker; gets the grace period as ``grace``.
        grace: seconds from the request to stop until SIGKILL; the workers are told.
        margin: how many of these are left at the cut; ``None``: the plugin's default.
    """

    def __init__(
        self,
        stage: Stage,
        held: Held,
        tree: MakeTree,
        *,
        grace: float,
        margin: float | None = None,
    ) -> None:
        self.stage = stage
        self.held = held
        self.grace = grace
        self.margin = margin
        self.ledger = Ledger(stage.folder / "ledger.jsonl")
        self.tasks: dict[str, AsyncResult[Any]] = {}
        self.first: Tree
        self.second: Worker
        self._make_tree = tree

    # -- before ----------------------------------------------------------------------------------

    def start(self, **options: Any) -> None:
        """Start both workers; the second one takes nothing yet. The options are the first one's."""
        settings = {
            "graceful_grace_period": self.grace,
            "graceful_kill_margin": self.margin,
            **options.pop("settings", {}),
        }

        def make(app: str, **given: Any) -> Tree:
            return self._make_tree(app, grace=self.grace, **given)

        env = {"SIDE": "first", "LEDGER": str(self.ledger.path), **options.pop("env", {})}
        options = {"concurrency": 4, **options, "env": env, "settings": settings}
        first = self.stage.worker("first", kind=make, app=APP, **options)
        self.second = self.stage.waiting("second", app=APP, env={**env, "SIDE": "second"})
        assert isinstance(first, Tree)
        self.first = first
        first.wait_ready()

    def send(self, kind: str, *args: Any, name: str = "") -> AsyncResult[Any]:
        """Send ``grace.`` + ``name`` or ``kind``; what it notes begins with ``kind``."""
        result = self.stage.send(f"grace.{name or kind}", *args)
        self.tasks[kind] = result
        return result

    def wait_all_begun(self) -> None:
        """Wait until all that was sent runs on the first worker."""
        for kind in self.tasks:
            self.wait_noted(f"{kind} begins first")

    def let_second_in(self) -> None:
        """From now on the second worker takes what comes."""
        self.second.wait_ready()
        self.stage.let_in(self.second)

    # -- afterwards ------------------------------------------------------------------------------

    def wait_nothing_held(self, stopping: Stopping) -> None:
        """Before the kill, all messages are acknowledged or back in their queue."""
        wait_for(
            lambda: self.held() == 0,
            max(0.0, stopping.left()),
            lambda: f"{self.held()} messages are held at the kill; {self.ledger.items()[-20:]}",
        )

    def check_given_back(self, *kinds: str) -> float:
        """The log names these tasks, and they began elsewhere soon after that.

        Returns:
            How late the last one began, in seconds.
        """
        delays = []
        for kind in kinds:
            said = self.said(HANDED_BACK, kind, "WARNING|ERROR")
            self.wait_noted(f"{kind} begins second")
            delays.append(self.at(f"{kind} begins second") - said)
            assert self.tasks[kind].get(timeout=20) == "second"
        assert max(delays) < LATEST, delays
        return max(delays)

    def check_lost(self, kind: str, arguments: str) -> None:
        """The log reports the task with its arguments and running time, and it does not return."""
        ran = self.said(LOST, kind, "ERROR", re.escape(arguments) + r".* \d+\.\d s")
        ran -= self.at(f"{kind} begins first")
        assert ran > 0
        assert not self.noted(f"{kind} begins second")

    def check_run(self, items: int) -> float:
        """The run left at once and went on elsewhere; no item was lost or done twice.

        Returns:
            How long after it left the first worker it began on the second one, in seconds.
        """
        task = self.tasks["run"]
        found = self.first.wait_log(rf"{_LINE}\S+\[{task.id}\] at cursor \d+ .*{LEFT}: shutdown")
        assert task.get(timeout=30) == "second"
        done = [item for item in self.ledger.items() if isinstance(item, int)]
        assert done == list(range(items))
        delay = self.at("run begins second") - _moment(found)
        assert delay < LATEST, delay
        return delay

    def check_silent(self) -> None:
        """Nothing was cut off."""
        log = self.first.log()
        assert HANDED_BACK not in log
        assert LOST not in log

    # -- looking ---------------------------------------------------------------------------------

    def said(
        self, word: str, kind: str, level: str, rest: str = "", *, timeout: float = 15
    ) -> float:
        """When the first worker's log said so of this task."""
        task = self.tasks[kind]
        line = rf"{_LINE}{word} grace\.\w+\[{task.id}\].*{rest}"
        found = self.first.wait_log(line, timeout)
        assert re.fullmatch(level, found["level"]), found[0]
        return _moment(found)

    def noted(self, what: str) -> bool:
        """Whether a task has noted this."""
        return what in self.ledger.items()

    def wait_noted(self, what: str, timeout: float = 30) -> None:
        """Wait until a task has noted this."""
        wait_for(
            lambda: self.noted(what), timeout, lambda: f"{what!r}, got {self.ledger.items()[-20:]}"
        )

    def at(self, what: str) -> float:
        """When this was noted first."""
        return next(entry.at for entry in self.ledger.entries() if entry.item == what)


def _moment(found: re.Match[str]) -> float:
    """The monotonic time of a line of the log."""
    wall = datetime.strptime(found["time"], "%Y-%m-%d %H:%M:%S,%f").timestamp()
    return wall - time.time() + time.monotonic()
