"""What a user of the Redis store has to be allowed to do, read off the scripts that are in use."""

from __future__ import annotations

import re

# Each of them makes scripts.
from celery_graceful.stores import redis_board, redis_quarantine, redis_scripts
from celery_graceful.stores.redis_keys import ROOT

__all__ = ["commands", "rule"]

_CALL = re.compile(r"redis\.p?call\('([A-Z]+)'")
#: Beside the scripts: to run them, and what a connection begins with.
_AROUND = ("EVAL", "EVALSHA", "INFO", "PING", "SELECT")


def commands() -> list[str]:
    """The commands, in alphabetical order."""
    modules = (redis_quarantine, redis_board, redis_scripts)
    made = [value for module in modules for value in vars(module).values()]
    scripts = [value for value in made if isinstance(value, redis_scripts.Script)]
    return sorted(
        {*_AROUND, *(name for script in scripts for name in _CALL.findall(script.source))}
    )


def rule(prefix: str = "") -> str:
    """The rights in the words of ``ACL SETUSER``.

    Args:
        prefix: What every key begins with.
    """
    return " ".join([f"~{prefix}{ROOT}*", *(f"+{name.lower()}" for name in commands())])
