"""The calls of the notice board, for stores that keep it in an object of its own."""

from __future__ import annotations

from celery_graceful.stores.board import Attendance, Board, Notice


class Boarded:
    """Passes what is asked of the board on to ``_board``."""

    _board: Board

    def read_notice(self, name: str) -> Notice:
        return self._board.read_notice(name)

    def post_notice(
        self, name: str, expected: int, text: str, *, version: int | None = None
    ) -> Notice | None:
        return self._board.post_notice(name, expected, text, version=version)

    def attend(self, worker: str, report: str, *, keep: float, notice: str, known: int) -> Notice:
        return self._board.attend(worker, report, keep=keep, notice=notice, known=known)

    def attendance(self) -> list[Attendance]:
        return self._board.attendance()

    def leave(self, worker: str) -> None:
        self._board.leave(worker)
