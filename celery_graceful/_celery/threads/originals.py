"""What gevent has put something else in place of."""

from __future__ import annotations

import sys
from typing import Any


def original(module: str, name: str) -> Any:
    """The unpatched function: a greenlet would starve while a task does not yield."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey is not None and monkey.is_module_patched(module):
        return monkey.get_original(module, name)
    return getattr(__import__(module), name)
