"""What a user of the Redis store has to be allowed to do, read off the scripts that are in use."""

from __future__ import annotations

import re

# Each of them makes scripts.
from celery_graceful.stores.redis import board, quarantine, scripts
from celery_graceful.stores.redis.keys import ROOT

_CALL = re.compile(r"redis\.p?call\('([A-Z]+)'")
#: Beside the scripts: to run them, and what a connection begins with.
_AROUND = ("EVAL", "EVALSHA", "INFO", "PING", "SELECT")


def commands() -> list[str]:
    """The commands, in alphabetical order."""
    modules = (quarantine, board, scripts)
    made = [value for module in modules for value in vars(module).values()]
    sources = [value.source for value in made if isinstance(value, scripts.Script)]
    return sorted({*_AROUND, *(name for source in sources for name in _CALL.findall(source))})


def rule(prefix: str = "") -> str:
    """The rights in the words of ``ACL SETUSER``.

    Args:
        prefix: What every key begins with.
    """
    return " ".join([f"~{prefix}{ROOT}*", *(f"+{name.lower()}" for name in commands())])
