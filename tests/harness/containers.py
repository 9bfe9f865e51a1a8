"""A worker as the first process of its own PID namespace, as in a container."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import suppress
from functools import cache
from signal import SIGKILL, SIGTERM
from typing import Any

import psutil

from tests.harness.trees import Tree


def _unshare() -> list[str]:
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    return ["unshare", *user, "--pid", "--fork", "--mount-proc", "--kill-child"]


@cache
def why_no_namespace() -> str | None:
    """Why this machine gives us no PID namespace; ``None`` when it does."""
    if shutil.which("unshare") is None:
        return "the program unshare is missing"
    tried = subprocess.run([*_unshare(), "true"], capture_output=True, text=True, timeout=30)
    return None if tried.returncode == 0 else f"no PID namespace here: {tried.stderr.strip()}"


class Container(Tree):
    """As ``docker stop`` does it: SIGTERM to PID 1, which hears only signals it has handlers for.

    The kernel ends all others with PID 1.
    """

    def __init__(self, app: str, **options: Any) -> None:
        super().__init__(app, **options)
        self._argv = [*_unshare(), *self._argv]
        self._first: psutil.Process | None = None

    @property
    def first(self) -> int:
        if self._first is None:
            (self._first,) = psutil.Process(self.pid).children()
        return int(self._first.pid)

    def ask(self) -> None:
        self.signal(SIGTERM)

    def has_ended(self) -> bool:
        return self.exit_code is not None

    def kill_all(self) -> None:
        if not self.has_ended():
            with suppress(ProcessLookupError):  # it has just ended
                os.kill(self.first, SIGKILL)
