"""Where a block may still be interrupted."""

from __future__ import annotations

import signal
import sys

import pytest

from celery_graceful.processes import block_interruption
from celery_graceful.processes.block_interruption import MainThreadBlock


class Block:
    """As a background process: struck when its end has been entered, before the first line."""

    def __init__(self) -> None:
        self._block = MainThreadBlock(KeyError)
        self._block.open()

    def strike_at(self, other: Block) -> None:
        """Be struck while the end of another block is entered."""
        other.__exit__(self._block)

    def __exit__(self, struck: MainThreadBlock, *_: object) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(MainThreadBlock, "_signal", lambda self: None)
            struck.throw()
        block_interruption._on_signal(signal.SIGURG, sys._getframe())

    def close(self) -> None:
        self._block.close()


def test_its_own_end_is_not_interrupted_where_nothing_can_catch_it() -> None:
    outer, inner = Block(), Block()
    try:
        inner.strike_at(inner)
        with pytest.raises(KeyError):
            outer.strike_at(inner)
    finally:
        inner.close()
        outer.close()
