"""A slow start: how many of its slots a worker may use."""

from __future__ import annotations

from celery_graceful.model.maintenance.mode import Ramp


def slots_allowed(ramp: Ramp | None, now: float, slots: int, rank: int, workers: int) -> int | None:
    """How many tasks a worker may run at once; ``None``: as many as it can.

    The slots of all workers together open evenly, one after the other over the time of the ramp,
    beginning with one. Workers with different numbers of slots each open theirs evenly.

    Args:
        ramp: the ramp, if there is one.
        now: the store's time.
        slots: how many tasks this worker can run at once.
        rank: this worker's place among all, from 0.
        workers: how many workers there are.
    """
    if ramp is None or now >= ramp.until:
        return None
    workers, rank = max(workers, 1), min(max(rank, 0), max(workers, 1) - 1)
    share = max((now - ramp.since) / ramp.seconds, 1 / (slots * workers))
    # 1e-9: a share that is a whole number of slots but for the last bit.
    return min(slots, int(share * slots + rank / workers + 1e-9))
