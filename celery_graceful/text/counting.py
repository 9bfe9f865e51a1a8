"""Counts in messages, with the right plural."""

from __future__ import annotations

from collections.abc import Iterable


def counted(number: int, noun: str, plural: str = "") -> str:
    """``"1 run"``, ``"2 runs"``.

    Args:
        number: how many there are.
        noun: the word for one of them.
        plural: the word for several, where it is not the same with an ``s``.
    """
    return f"{number} {agree(number, noun, plural or f'{noun}s')}"


def agree(number: int, one: str, several: str) -> str:
    """The word that goes with ``number``: ``agree(n, "is", "are")``."""
    return one if number == 1 else several


def pids(numbers: Iterable[int]) -> str:
    """``"pid 7"``, ``"pids 7, 9"``."""
    shown = [str(number) for number in numbers]
    return f"{agree(len(shown), 'pid', 'pids')} {', '.join(shown)}"
