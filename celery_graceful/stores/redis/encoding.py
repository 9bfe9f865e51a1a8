"""How a store's data are written in Redis: the names of its keys, and a record as a hash."""

from __future__ import annotations

from celery_graceful.model.run.record import Record, RunKey, State
from celery_graceful.stores.codec import Unreadable, extra_of, text, utf8

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


def task_of_member(task: str) -> bytes:
    """What the members of a task's runs begin with."""
    return utf8(f"{_quoted(task)}:")


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
        "begun",
        "check",
        "ended",
        "failed",
        "ids",
        "live",
        "paused",
        "quarantine_page_prefix",
        "quarantine_prefix",
        "run_prefix",
        "text_prefix",
        "walked",
    )

    def __init__(self, namespace: str, before: str = "") -> None:
        # The braces are the hash tag of Redis Cluster: one slot for all keys of a namespace.
        # An empty tag is none; "%" alone is no quoted name.
        tag = _quoted(namespace).replace("{", "%7B").replace("}", "%7D") or "%"
        prefix = utf8(f"{before}{ROOT}{{{tag}}}:")
        #: Followed by a member: the hash of one run.
        self.run_prefix = prefix + b"run:"
        #: Followed by a member: the sorted set of the pages of a run's quarantined items.
        self.quarantine_prefix = prefix + b"quarantined:"
        #: Followed by the ordinal it begins at, a colon and a member: the hash of one page.
        self.quarantine_page_prefix = prefix + b"quarantined-page:"
        #: Sorted set: members of runs that have not ended, by the time from which others may act.
        self.live = prefix + b"live"
        #: Sorted set: the same members, by the time their runs began.
        self.begun = prefix + b"begun"
        #: Sorted set: members of ended runs, by the time at which they are forgotten.
        self.ended = prefix + b"ended"
        #: Sorted sets: those members of ``begun`` that are paused, and of ``ended`` that failed.
        self.paused = prefix + b"paused"
        self.failed = prefix + b"failed"
        #: There once all runs were looked at for these two.
        self.walked = prefix + b"walked"
        #: Sorted set, all scores 0: the id of each run, a zero byte, its task as in a member.
        self.ids = prefix + b"ids"
        #: Followed by a kind of texts: the hash of all of them.
        self.text_prefix = prefix + b"texts:"
        self.check = prefix + b"check"

    def texts(self, kind: str) -> tuple[bytes, bytes]:
        """The hash of all texts of a kind, and the index by the time they are forgotten."""
        texts = self.text_prefix + kind.encode()
        return texts, texts + b":until"


_STATES = {state: state.value.encode() for state in State}


def fields_of(record: Record) -> list[bytes]:
    """Names and values by turns, without version and due_at: the script adds those.

    All bytes, as the line takes nothing else.
    """
    flat = [
        b"s",
        _STATES[record.state],
        b"f",
        b"%d" % record.fence,
        b"n",
        b"%d" % record.steps,
        b"m",
        extra_of(record).encode(),
    ]
    if record.owner is not None:
        flat += (b"o", utf8(record.owner))
    if record.checkpoint is not None:
        flat += (b"c", utf8(record.checkpoint))
    if record.requested is not None:
        flat += (b"q", record.requested.value.encode())
    if record.result is not None:
        flat += (b"r", utf8(record.result))
    if record.envelope:
        flat += (b"e", record.envelope)
    return flat
