"""The notice board: what all workers of a namespace have to know, and who has read it."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class Notice(NamedTuple):
    """A named text on the board. Version 0 and an empty text: nobody has posted it."""

    version: int
    text: str
    #: The store's time, in Unix seconds.
    now: float


class Attendance(NamedTuple):
    """A worker's latest report."""

    worker: str
    report: str
    #: Seconds since it was written, by the store's clock.
    age: float


class Board(Protocol):
    """Small texts by name, replaced by compare-and-set, and the reports of workers.

    Every call may raise :exc:`~celery_graceful.errors.StoreUnavailable`.
    """

    def read_notice(self, name: str) -> Notice:
        """The notice of this name."""

    def post_notice(
        self, name: str, expected: int, text: str, *, version: int | None = None
    ) -> Notice | None:
        """Replace the notice if its version is ``expected`` (0: if there is none).

        Returns it as it is now; ``None`` when it has another version and nothing was written.

        Args:
            version: the version that it gets, above ``expected``; ``None``: ``expected + 1``.
        """

    def attend(self, worker: str, report: str, *, keep: float, notice: str, known: int) -> Notice:
        """Write the worker's report, then read a notice, in one call.

        In this order for everybody: who posts a notice and then reads the reports either finds
        this worker among them, or the worker has read the new notice.

        Args:
            worker: names the worker, differently at each start.
            keep: seconds after which the report is forgotten, unless it is written again.
            notice: name of the notice to read.
            known: the version the worker has; the text is left empty when it is still that one.
        """

    def attendance(self) -> list[Attendance]:
        """The reports that are not forgotten, by the name of the worker."""

    def leave(self, worker: str) -> None:
        """Forget the worker's report: it has ended."""
