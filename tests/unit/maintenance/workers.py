"""Workers as the store and the broker show them."""

from __future__ import annotations

from typing import Any

from celery_graceful.maintenance.workers import Busy, KnownWorker, Report, encode_report
from celery_graceful.stores.base import REPORTS, Store

#: Whatever version the mode has: the worker has heard of it.
LATEST = 10**15
MAIL = Busy("shop.mail", "m1", "mail", 3.0)
IMPORT = Busy("shop.import", "i1", "celery", 12.0, run=True)


def report(hostname: str = "w1@host", **said: Any) -> Report:
    """By default a worker that has paused under version 5 and runs nothing."""
    said = {"version": 5, "paused": True, "queues": ("celery", "mail"), **said}
    said.setdefault("busy_count", len(said.get("busy", ())))
    return Report(hostname, pid=7, pool="prefork", slots=4, **said)


def member(age: float = 1.0, hostname: str = "w1@host", **said: Any) -> KnownWorker:
    return KnownWorker(f"{hostname}/{age}", report(hostname, **said), age)


def attend(store: Store, hostname: str = "w1@host", *, start: str = "a", **said: Any) -> None:
    """Write a worker's report."""
    text = encode_report(report(hostname, **said))
    store.write_text(REPORTS, f"{hostname}/{start}", text, keep=86400)
