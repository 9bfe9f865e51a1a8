"""What one worker asks the others over the broker while it cannot use the store."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from celery_graceful._celery.message.mailbox import ask, tell
from celery_graceful.errors import CorruptRecord
from celery_graceful.maintenance.broker_replies import BROKER_TIMEOUT, LONG_QUIET
from celery_graceful.model.maintenance.mode import Mode
from celery_graceful.model.maintenance.mode_text import LONGEST, decode_mode
from celery_graceful.text import strict_json

#: The control command that has workers send back parked runs.
SEND_BACK = "graceful_send_back"


@dataclass(frozen=True, slots=True)
class Peer:
    """Another worker of this app, as it describes itself."""

    hostname: str
    #: The maintenance mode that it knows; ``None``: none.
    mode: Mode | None
    #: Whether runs can start on it.
    starts_runs: bool


def ask_peers(app: Any, namespace: str, own: str, *, quiet: float = LONG_QUIET) -> list[Peer]:
    """The other workers of this app that answer.

    Those are asked that consume queues of the app: others would log a command they do not know.

    Args:
        app: the Celery app.
        namespace: its namespace.
        own: the node name of the worker that asks.
        quiet: seconds without an answer after which no more are waited for.

    Raises:
        kombu.exceptions.OperationalError: the broker does not answer.
    """
    put = partial(ask, app, timeout=BROKER_TIMEOUT, quiet=quiet)
    ours = set(app.amqp.queues)
    # One in maintenance consumes nothing, and knows the mode.
    consuming = [(host, _names(queues)) for host, queues in put("active_queues")]
    hosts = {host for host, names in consuming if not names or names & ours} - {own}
    answers = put("graceful", destination=sorted(hosts)) if hosts else []
    return [
        Peer(host, _mode(answer.get("mode")), answer.get("starts_runs") is True)
        for host, answer in answers
        if isinstance(answer, dict) and answer.get("namespace") == namespace
    ]


def newest_mode(peers: list[Peer]) -> tuple[Mode, str] | None:
    """The newest mode that one of them knows, and who."""
    known = [(peer.mode, peer.hostname) for peer in peers if peer.mode is not None]
    return max(known, key=lambda each: each[0].version, default=None)


def send_back(app: Any, namespace: str, peers: list[Peer]) -> list[str]:
    """Have those on which runs can start send back what is parked; returns their names.

    Raises:
        kombu.exceptions.OperationalError: the broker does not answer.
    """
    hosts = [peer.hostname for peer in peers if peer.starts_runs]
    if hosts:
        arguments = {"namespace": namespace}
        tell(app, SEND_BACK, arguments, timeout=BROKER_TIMEOUT, destination=hosts)
    return hosts


def _names(queues: Any) -> set[str]:
    if not isinstance(queues, list):
        return set()
    return {str(queue["name"]) for queue in queues if isinstance(queue, dict) and "name" in queue}


def _mode(said: Any) -> Mode | None:
    """Anybody can answer, with anything."""
    try:
        version = strict_json.whole(said["version"], "version")
        return decode_mode(strict_json.text(said["text"], "text", LONGEST), version)
    except (CorruptRecord, ValueError, TypeError, LookupError):
        return None
