"""A real ``celery beat`` process, started, signalled and reaped like a worker."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.harness.worker import Worker


class Beat(Worker):
    """One ``celery -A app beat``.

    Args:
        app: the module of the Celery application, as for ``-A``.
        schedule: the file of the default scheduler.
        args: more arguments of ``celery beat``.
        env: variables added to this process's environment.
        logfile: where stdout and stderr go.
    """

    def __init__(
        self,
        app: str,
        *,
        schedule: str | os.PathLike[str],
        args: Sequence[str] = (),
        env: Mapping[str, str | None] | None = None,
        logfile: str | os.PathLike[str],
    ) -> None:
        super().__init__(app, env=env, logfile=logfile)
        self._argv = [
            *(sys.executable, "-m", "celery", "-A", app, "beat", "-l", "INFO"),
            *("--pidfile", "", "-s", str(Path(schedule)), *args),
        ]
