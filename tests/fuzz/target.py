"""What is fuzzed: a decoder, with texts that it reads and what it may refuse them with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from celery_graceful.stores.codec import utf8
from tests.fuzz.mutate import Mutator


@dataclass(frozen=True)
class Target:
    """One decoder.

    Attributes:
        call: decodes a text.
        samples: texts that it reads.
        refuses: the documented exceptions.
        longest: how many characters an input has at most.
        make: another way to make an input; by default a sample is changed.
        most: the processor time that a call may take, in seconds.
    """

    call: Callable[[Any], object]
    samples: list[str] = field(default_factory=list)
    refuses: tuple[type[Exception], ...] = ()
    longest: int = 500_000
    make: Callable[[Mutator], Any] | None = None
    most: float = 0.1

    def input(self, mutator: Mutator) -> Any:
        """The next input."""
        return mutator.text(self.samples) if self.make is None else self.make(mutator)


def bytes_of(text: str) -> bytes:
    """Text as it comes from a server, which takes any bytes."""
    return utf8(text)
