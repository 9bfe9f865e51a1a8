"""A worker under supervisord, the real program."""

from __future__ import annotations

import shlex
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from xmlrpc.client import ServerProxy

from tests.harness.trees import DEAD, Tree
from tests.harness.waiting import INTERVAL
from tests.lifeline import bound_to_parent

_CONFIG = """
[supervisord]
nodaemon=true
silent=true
logfile={folder}/supervisord.log
pidfile={folder}/supervisord.pid

[unix_http_server]
file={folder}/socket

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface

[program:worker]
command={command}
stdout_logfile={log}
stdout_logfile_maxbytes=0
redirect_stderr=true
startsecs=0
autorestart=false
stopwaitsecs={grace}
stopasgroup={as_group}
"""


class Supervised(Tree):
    """Stopped by supervisord itself, on request; it looks at its children once a second.

    Args:
        app: as for ``Worker``; the other options as well.
        grace: ``stopwaitsecs``.
        as_group: ``stopasgroup``: whether all processes get the signals, or the first one only.
    """

    def __init__(self, app: str, *, as_group: bool = False, **options: Any) -> None:
        super().__init__(app, **options)
        # A socket's path must be short.
        self._folder = Path(tempfile.mkdtemp(prefix="supervised-"))
        start = self._folder / "start.py"
        start.write_text(
            f"import os\nargv = {bound_to_parent(self._argv)!r}\nos.execv(argv[0], argv)\n"
        )
        values = {
            "folder": self._folder,
            "command": shlex.join([sys.executable, "-I", "-S", str(start)]),
            "log": self.logfile,
            "grace": round(self.grace),
            "as_group": str(as_group).lower(),
        }
        config = self._folder / "supervisord.conf"
        escaped = {key: str(value).replace("%", "%%") for key, value in values.items()}
        config.write_text(_CONFIG.format(**escaped))
        self._argv = [sys.executable, "-m", "supervisor.supervisord", "-c", str(config)]

    @property
    def first(self) -> int:
        return int(self._call("getProcessInfo", "worker")["pid"])

    def ask(self) -> None:
        self._call("stopProcess", "worker", False)

    def has_ended(self) -> bool:
        return self._call("getProcessInfo", "worker")["statename"] in ("STOPPED", "EXITED")

    def kill_all(self) -> None:
        """Wait for supervisord, which does it."""
        deadline = time.monotonic() + DEAD
        while not self.has_ended() and time.monotonic() < deadline:
            time.sleep(INTERVAL)

    def was_killed(self) -> bool:
        return "with SIGKILL" in (self._folder / "supervisord.log").read_text()

    def reap(self) -> None:
        super().reap()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _call(self, method: str, *args: Any) -> Any:
        from supervisor.xmlrpc import SupervisorTransport

        transport = SupervisorTransport(None, None, f"unix://{self._folder}/socket")
        try:
            proxy = ServerProxy("http://localhost", transport=transport)
            return getattr(proxy.supervisor, method)(*args)
        finally:
            transport.close()
