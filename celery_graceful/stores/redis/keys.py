"""The names of the keys of a Redis store."""

from __future__ import annotations

from celery_graceful.model.run.record import RunKey
from celery_graceful.stores.codec import Unreadable, text, utf8

#: Every key begins with it, after the prefix of the server's user.
ROOT = "graceful:"


def _quoted(name: str) -> str:
    # A task name may hold ":", which separates the parts of a key.
    return name.replace("%", "%25").replace(":", "%3A")


def _unquoted(name: str) -> str:
    return name.replace("%3A", ":").replace("%25", "%")


def member_of(run: RunKey) -> bytes:
    """How ``run`` is named in the indexes, and at the end of its own key."""
    return utf8(f"{_quoted(run[0])}:{run[1]}")


def run_of(member: bytes) -> RunKey:
    """The inverse of :func:`member_of`; raises :exc:`Unreadable` for anything else."""
    try:
        task, colon, run_id = text(member).partition(":")
    except UnicodeDecodeError as exc:
        raise Unreadable(str(exc)) from exc
    if not colon:
        raise Unreadable("it does not name a run")
    return RunKey(_unquoted(task), run_id)


def run_named(name: bytes) -> RunKey:
    """The run of a member of the index by id; raises :exc:`Unreadable` for anything else."""
    run_id, _, task = name.rpartition(b"\0")
    return run_of(task.replace(b"%00", b"\0") + b":" + run_id)


def shown(key: bytes) -> str:
    """A key for people."""
    try:
        return text(key)
    except UnicodeDecodeError:
        return repr(key)


class Keys:
    """The keys of one namespace.

    Args:
        namespace: What sets an app's keys apart.
        before: What all keys have to begin with (``global_keyprefix``).
    """

    __slots__ = (
        "attending",
        "check",
        "ended",
        "ids",
        "live",
        "notice_prefix",
        "quarantine_page_prefix",
        "quarantine_prefix",
        "reports",
        "run_prefix",
    )

    def __init__(self, namespace: str, before: str = "") -> None:
        # The braces are the hash tag of Redis Cluster: one slot for all keys of a namespace.
        # An empty tag is none; "%" alone is no quoted name.
        tag = _quoted(namespace).replace("{", "%7B").replace("}", "%7D") or "%"
        prefix = utf8(f"{before}{ROOT}{{{tag}}}:")
        #: Followed by a member: the hash of one run.
        self.run_prefix = prefix + b"run:"
        #: Followed by a member: the sorted set of the pages of a run's quarantined items.
        self.quarantine_prefix = prefix + b"aside:"
        #: Followed by the ordinal it begins at, a colon and a member: the hash of one page.
        self.quarantine_page_prefix = prefix + b"aside-page:"
        #: Sorted set: members of runs that have not ended, by the time from which others may act.
        self.live = prefix + b"live"
        #: Sorted set: members of ended runs, by the time at which they are forgotten.
        self.ended = prefix + b"ended"
        #: Sorted set, all scores 0: the id of each run, a zero byte, its task as in a member.
        self.ids = prefix + b"ids"
        #: Followed by a name: the hash of one notice.
        self.notice_prefix = prefix + b"notice:"
        #: Hash: the reports of workers.
        self.reports = prefix + b"reports"
        #: Sorted set: the workers, by the time at which their report is forgotten.
        self.attending = prefix + b"attending"
        self.check = prefix + b"check"
