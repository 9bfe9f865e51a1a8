"""Damaged records beside those of the runs: what somebody may write into the store."""

from __future__ import annotations

from typing import Any

from tests.lives.neighbours import MESSAGES, SUMMARIES

_SOUND = (
    '{"format":1,"generation":1,"execution_steps":0,"resumptions":0,"crashes":0,"crash_steps":-1,'
    '"stalls":0,"republished":10000000000,"reason":"","outcome":null,"started_at":1.0,"stamp":""}'
)
#: Fields of a hash that differ from those of a run that waits for its message.
KINDS: dict[str, dict[str, Any]] = {
    **{f"summary: {name}": {"m": text} for name, text in SUMMARIES.items()},
    **{f"message: {name}": {"e": data} for name, data in MESSAGES.items()},
    "state": {"s": "sleeping"},
    "fence": {"f": "9" * 400},
    "version": {"v": "one"},
    "steps": {"n": "-1"},
    "time": {"d": "nan"},
}


def damage_neighbour(client: Any, namespace: str, name: str, kind: str) -> None:
    """Write the record of another run, overdue for good, with something wrong in it."""
    member = f"chaos.generator:{name}"
    plain = {"v": "1", "s": "interrupted", "f": "1", "n": "0", "m": _SOUND, "d": "1.0", "e": "{}"}
    client.hset(f"graceful:{{{namespace}}}:run:{member}", mapping={**plain, **KINDS[kind]})
    client.zadd(f"graceful:{{{namespace}}}:live", {member: 1.0})
