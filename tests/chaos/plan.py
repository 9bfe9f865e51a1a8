"""The plan of a chaos run: which fault strikes whom and when, a pure function of the seed."""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import dataclass

#: Workers that are kept alive, and the children of each.
WORKERS, CHILDREN = 3, 2

#: How often a kind comes up in each round of twenty, and how long it lasts: from and to, in
#: seconds, and whether a lease is added to both.
_ROUND: dict[str, tuple[int, tuple[float, float], bool]] = {
    "sigterm": (2, (0, 0), False),
    "sigterm_group": (1, (0, 0), False),
    "sigkill_child": (2, (0, 0), False),
    "sigkill_worker": (2, (0, 0), False),
    "sigstop_worker": (1, (1, 3), True),
    "sigstop_main": (1, (0.5, 2), True),
    "sigstop_child": (1, (-2, 2), True),
    "store_restart": (1, (0, 1), False),
    "store_outage": (1, (0.5, 2), True),
    "store_silence": (1, (0.5, 2), True),
    "store_refuses": (1, (0.5, 2), True),
    "store_forgets": (1, (0, 0), False),
    "broker_restart": (1, (0.2, 2), False),
    "drop_store": (1, (0, 0), False),
    "damaged_neighbour": (1, (0, 0), False),
    "drop_broker": (1, (0, 0), False),
    "drop_database": (1, (0, 0), False),
}
KINDS = tuple(_ROUND)
#: Seconds between two faults.
_GAP = (0.5, 2.5)


@dataclass(frozen=True, slots=True)
class Planned:
    """One fault: ``gap`` seconds after the one before, for ``length`` seconds.

    ``worker`` and ``child`` name the roles it strikes, if its kind strikes a process.
    """

    number: int
    kind: str
    gap: float
    length: float
    worker: int
    child: int


@dataclass(frozen=True, slots=True)
class Sent:
    """What a run is to do: so many items of ``pause`` seconds."""

    style: str
    items: int
    pause: float


def plan(seed: int, faults: int, lease: float, only: Collection[str] = ()) -> list[Planned]:
    """The faults of one chaos run, in their order.

    Args:
        seed: what makes it the same again.
        faults: how many.
        lease: ``graceful_lease_ttl``, in seconds.
        only: kinds; all when empty.
    """
    chance = random.Random(f"faults {seed}")
    kinds: list[str] = []
    while len(kinds) < faults:
        deck = [
            kind
            for kind, (often, _, _) in _ROUND.items()
            if kind in (only or KINDS)
            for _ in range(often)
        ]
        chance.shuffle(deck)
        kinds.extend(deck)
    return [_planned(number, kind, lease, chance) for number, kind in enumerate(kinds[:faults], 1)]


def _planned(number: int, kind: str, lease: float, chance: random.Random) -> Planned:
    _, (shortest, longest), leased = _ROUND[kind]
    length = max(0.0, chance.uniform(shortest, longest) + (lease if leased else 0))
    return Planned(
        number,
        kind,
        gap=round(chance.uniform(*_GAP), 3),
        length=round(length, 3),
        worker=chance.randrange(WORKERS),
        child=chance.randrange(CHILDREN),
    )


def sends(seed: int, styles: Collection[str]) -> random.Random:
    """The source of the runs' sizes; see :func:`next_run`."""
    return random.Random(f"runs {seed} {sorted(styles)}")
