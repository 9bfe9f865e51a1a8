"""``graceful.runs``: the one way to list runs and to operate them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

from celery_graceful.durations import parse
from celery_graceful.runs import lookup, quarantined_items
from celery_graceful.runs.listing import pages
from celery_graceful.runs.listing.filters import Filter
from celery_graceful.runs.observers import user_at_host
from celery_graceful.runs.oneoff.start import Started, start
from celery_graceful.runs.oneoff.start_order import StartOptions, make_order
from celery_graceful.runs.oneoff.wait import last, watch
from celery_graceful.runs.operating.operated_runs import OperatedRuns
from celery_graceful.runs.plain_run import Page, Run, run_of
from celery_graceful.runs.quarantined_items import QuarantinedItem
from celery_graceful.stores.tabs import Counts, counts_of

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Runs(OperatedRuns):
    """The runs of an app, for its code and scripts.

    An id may be shortened to its first characters, as long as no other run's begins with them; and
    it may be ``task[id]``, as in the logs. All methods may raise
    :exc:`~celery_graceful.errors.StoreUnavailable` when the store does not answer, and all that
    take an id :exc:`~celery_graceful.errors.UnknownRun`,
    :exc:`~celery_graceful.errors.AmbiguousRun` and :exc:`~celery_graceful.errors.CorruptRecord`.
    """

    # -- looking ------------------------------------------------------------------------------

    def list(
        self,
        *,
        state: str | None = None,
        task: str | None = None,
        queue: str | None = None,
        worker: str | None = None,
        text: str = "",
        since: datetime | timedelta | str | None = None,
        tag: str | None = None,
        limit: int = 50,
        after: str | None = None,
    ) -> Page[Run]:
        """Runs under way, the oldest first; then those that have ended, the last ended first.

        Args:
            state: a state of :class:`.Run`, ``"active"`` for those that have not ended and are not
                paused, or ``"ended"`` for all three of ended runs.
            task: the task's name, or a pattern such as ``shop.*``.
            queue: where its messages go.
            worker: the node name of the worker that owns it.
            text: part of the task's name, the id or the worker's name; case does not matter.
            since: begun since then: a moment, or how long ago: ``"2h"``.
            tag: one of those that it was given at its start.
            limit: how many at most.
            after: ``next`` of the page before.

        Returns:
            Up to ``limit`` runs. No run is on two pages, and none is missed, whatever happens to
            runs meanwhile; those begun after the first page may be left out. A page costs the store
            as much among a million runs as among a hundred: where few runs fit the filter, it is
            short or empty after some thousands were looked at, and has ``next`` all the same. So
            follow ``next`` until it is ``None``.

        Raises:
            ValueError: an argument cannot be what it is; the message says which and why.
        """
        runtime = self._runtime()
        wanted = Filter(state, task, queue, worker, text, since, tag)
        found, place = pages.page(runtime, wanted, limit, after)
        return Page(tuple(run_of(runtime, *each) for each in found), place)

    def counts(self) -> Counts:
        """How many runs are active, paused, failed, and have ended at all.

        Counted in indexes of the store: in SQL databases up to 100,000 each, and in a store that
        cannot count among the first thousand live and the first thousand ended runs. A number that
        ``at_least`` names may be higher.
        """
        return counts_of(self._runtime().store)

    def get(self, id: str) -> Run:
        """One run."""
        runtime = self._runtime()
        return run_of(runtime, *lookup.find(runtime, id))

    def short_ids(self, runs: Sequence[Run]) -> tuple[str, ...]:
        """The ids by their first characters: as few as name one run of the app, at least eight."""
        store = self._runtime().store

        def named(prefix: str) -> Sequence[str]:
            return [key.id for key in store.named(prefix, lookup.AT_MOST)]

        return tuple(lookup.shortened([run.id for run in runs], named))

    def quarantined(
        self, id: str, *, limit: int = 1000, after: str | None = None
    ) -> Page[QuarantinedItem]:
        """The items that a run has quarantined, in their order.

        Args:
            id: of the run.
            limit: how many at most.
            after: ``next`` of the page before.
        """
        runtime = self._runtime()
        key = lookup.find(runtime, id).key
        first = 0 if after is None else int(after) + 1
        there = quarantined_items.found(runtime.store, key, first=first)
        items = tuple(islice(there, limit + 1))
        more = len(items) > limit
        return Page(items[:limit], str(items[limit - 1].ordinal) if more else None)

    def count_quarantined(self, id: str) -> int:
        """How many items a run has quarantined, counted up to 100,000."""
        runtime = self._runtime()
        return quarantined_items.count(runtime.store, lookup.find(runtime, id).key)

    # -- starting -----------------------------------------------------------------------------

    def start(
        self,
        task: str,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        who: str | None = None,
        **options: Unpack[StartOptions],
    ) -> Run:
        """Start an iterable task, as ``apply_async`` does, and more: its run is known at once.

        Args:
            task: the task's name.
            kwargs: its keyword arguments.
            who: the operator; by default the user and host of this process.
            **options: see :class:`.StartOptions`.

        Returns:
            The run that was started; with ``once``, the one that is under way or has completed.

        Raises:
            UnknownTask: the app has no such task.
            StartRefused: it is not iterable, offers no dry run, or cannot take these arguments; or
                the key belongs to another task.
            DefinitionError: it is not written as an iterable task has to be.
            CursorError: the cursor cannot be kept.
            ValueError: another argument cannot be what it is.
            NotSent: the broker did not accept its message yet; a worker sends it again.
        """
        return self.start_or_join(task, args, kwargs, who=who, **options).run

    def start_or_join(
        self,
        task: str,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        who: str | None = None,
        **options: Unpack[StartOptions],
    ) -> Started:
        """The same as :meth:`start`; says what became of it as well."""
        by = who or user_at_host()
        order = make_order(self._app(), task, args, kwargs, by, options)
        return start(self._runtime(), order)

    def wait(self, id: str, *, timeout: float | str | timedelta | None = None) -> Run:
        """Wait until a run has ended or is paused.

        Args:
            id: of the run, or its key.
            timeout: how long at most; ``None``: as long as it takes.

        Returns:
            The run as it is then, in whichever of these states.

        Raises:
            WaitTimedOut: it has neither ended nor paused in time; it goes on.
            RunVanished: the store no longer knows of it.
        """
        seconds = None if timeout is None else parse(timeout)
        return last(watch(self._runtime(), id, seconds))
