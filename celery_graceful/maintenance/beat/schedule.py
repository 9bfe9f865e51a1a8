"""Beat during maintenance: what is held is not sent, and each entry's policy says what is later.

Beat writes down that it owes an entry before the entry counts as having had its turn, and that it
has paid after it has sent. So what is cut off in between is done again: an entry is sent once too
often at most, never once too little. A second is sent only when the first is written down.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from celery_graceful._celery.beat import InterceptedScheduler
from celery_graceful.errors import GracefulError
from celery_graceful.maintenance.beat.mode_cache import BeatBoard, BeatMode
from celery_graceful.maintenance.beat.owed import OwedEntries
from celery_graceful.model.maintenance.held import NOTHING, Held
from celery_graceful.runtime import Runtime
from celery_graceful.text.counting import counted

logger = logging.getLogger("celery_graceful.beat")

#: How long beat sleeps at most while something is held or owed, in seconds.
NAP = 1.0
#: Names in one log line.
MOST_NAMES = 10


def policy_of(policies: Mapping[str, str], entry: str, default: str = "skip") -> str:
    """What becomes of an entry that is due while it is held: ``skip``, ``once``, ``all``, ``run``.

    Args:
        policies: policies by names and patterns; the name itself wins, then the first pattern.
        entry: the entry's name.
        default: the policy when nothing matches.
    """
    if entry in policies:
        return policies[entry]
    matching = (policy for pattern, policy in policies.items() if fnmatchcase(entry, pattern))
    return next(matching, default)


def install_gate(scheduler: Any, runtime: Runtime) -> None:
    """From now on ``scheduler`` follows the maintenance mode."""
    try:
        board = runtime.open_store()
    except GracefulError as exc:
        logger.warning("Beat does not know of maintenance and always sends. %s", exc)
        return
    if runtime.store_is_fallback:
        logger.warning(
            "Beat follows maintenance only if it finds %s of the workers: start it in their"
            " folder, or set graceful_store to a Redis or database that all reach.",
            runtime.store_url,
        )
    BeatGate(
        InterceptedScheduler(scheduler),
        BeatBoard(board),
        exempt=runtime.settings.maintenance_exempt_queues,
        policies=runtime.settings.maintenance_beat,
    ).install()


class BeatGate:
    """Between a scheduler's loop and what it sends. All in beat's own thread.

    Args:
        scheduler: of beat.
        board: where the mode is, and what is owed.
        exempt: queues that are never held.
        policies: as for :func:`policy_of`.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        scheduler: InterceptedScheduler,
        board: BeatBoard,
        *,
        exempt: frozenset[str],
        policies: Mapping[str, str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._scheduler = scheduler
        self._board = board
        self._mode = BeatMode(board, exempt, clock)
        self._owed = OwedEntries(board)
        self._policies = policies
        self._clock = clock
        #: What was held when it was last logged.
        self._logged = NOTHING
        self._paying = False
        self._paid = 0
        self._not_before = float("-inf")
        #: An entry that has had its turn, while it is being decided whether it is sent.
        self._undecided: Any = None

    def install(self) -> None:
        """Take part in what the scheduler does."""
        self._scheduler.intercept(
            wake=self._wake, keep_back=self._keep_back, rest=self._rest, leave=self._leave
        )

    # --- what the scheduler asks ----------------------------------------------------------------

    def _wake(self) -> None:
        held = self._mode.held()
        saved = self._owed.save()
        self._log_change(held)
        self._paying = False
        if saved and self._owed and self._mode.known and self._clock() >= self._not_before:
            self._pay(held)

    def _keep_back(self, entry: Any) -> bool:
        self._undecided = entry
        held = self._mode.held()
        policy = self._policy(entry)
        kept = policy != "run" and self._covers(held, entry)
        owes = kept and self._owe(entry, policy)
        self._undecided = None
        if owes:
            self._owed.save()
        if kept:
            logger.info(
                "Not sent: the entry %s (%s) is held; policy %s, to be sent %s after `up`",
                entry.name,
                entry.task,
                policy,
                counted(self._owed[entry.name], "time"),
            )
        return kept

    def _policy(self, entry: Any) -> str:
        """What becomes of a held entry; one that comes only once is not lost by default."""
        try:
            last = self._scheduler.is_last_turn(entry)
        except Exception:
            logger.exception("It is unknown whether the entry %s is due again", entry.name)
            last = False
        return policy_of(self._policies, entry.name, "once" if last else "skip")

    def _owe(self, entry: Any, policy: str) -> bool:
        """Count an entry that is not sent, if its policy says so."""
        owes = policy == "all" or (policy == "once" and not self._owed[entry.name])
        if owes:
            self._owed.add(entry.name, 1)
        return owes

    def _rest(self, wanted: float) -> float:
        if self._paying:
            return 0.0
        return min(wanted, NAP) if self._logged or self._owed else wanted

    def _leave(self) -> None:
        undecided, self._undecided = self._undecided, None
        if undecided is not None:  # a signal came in between: its turn is over, it was not sent
            self._owe(undecided, self._policy(undecided))
        if self._owed.saved or self._board.asking:
            return  # a signal has interrupted a call; the scheduler closes once more after it
        self._board.insist()
        if not self._owed.save():
            logger.error("Beat ends and could not save what it owes: %s", self._owed)

    # --- catching up ----------------------------------------------------------------------------

    def _pay(self, held: Held) -> None:
        """Send one of the entries that are owed and no longer held."""
        self._not_before = self._clock() + NAP  # unless one of them is found
        for name, count in sorted(self._owed.counts().items()):
            try:
                entry = self._scheduler.find(name)
                if entry is None:
                    self._drop(name, count)
                    continue
                if self._covers(held, entry):
                    continue
                self._scheduler.send(entry)
            except Exception:
                logger.exception("The entry %s cannot be caught up now; tried again", name)
                continue
            once = policy_of(self._policies, name) == "once"
            self._owed.add(name, -count if once else -1)
            self._owed.save()
            self._paid += 1
            self._paying, self._not_before = True, float("-inf")
            logger.info(
                "Caught up: the entry %s (%s) was sent; to be sent %s more",
                name,
                entry.task,
                counted(self._owed[name], "time"),
            )
            break
        if self._paid and not self._owed:
            logger.info("All is caught up: %d sent", self._paid)
            self._paid = 0

    def _drop(self, name: str, count: int) -> None:
        logger.warning(
            "The entry %s was due %s during maintenance and is gone, disabled or expired:"
            " not caught up",
            name,
            counted(count, "time"),
        )
        self._owed.add(name, -count)
        self._owed.save()

    # --- what is held ---------------------------------------------------------------------------

    def _covers(self, held: Held, entry: Any) -> bool:
        if not held:
            return False
        try:
            queue = self._scheduler.queue_of(entry)
        except Exception:
            logger.exception("The queue of the entry %s is unknown", entry.name)
            queue = ""
        return held.covers(entry.task, queue)

    def _log_change(self, held: Held) -> None:
        if held == self._logged:
            return
        self._logged = held
        if not held:
            logger.info("Maintenance has ended; beat sends again. To be caught up: %s", self._owed)
            return
        try:
            entries = self._scheduler.entries()
        except Exception:
            logger.exception("The entries of the schedule are unknown")
            entries = []
        policies = {e.name: self._policy(e) for e in entries if self._covers(held, e)}
        names = sorted(f"{name}: {policy}" for name, policy in policies.items() if policy != "run")
        logger.warning(
            "Maintenance: %s. %d of %s held: %s%s",
            self._mode,
            len(names),
            counted(len(entries), "entry", "entries"),
            ", ".join(names[:MOST_NAMES]),
            ", …" if len(names) > MOST_NAMES else "",
        )
