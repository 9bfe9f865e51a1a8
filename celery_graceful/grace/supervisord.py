"""What supervisord says of the program that this process is."""

from __future__ import annotations

import contextlib
import http.client
import math
import socket
from base64 import b64encode
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit
from xmlrpc import client as xmlrpc

from celery_graceful.grace.deadlines import Period, Silent
from celery_graceful.time_limits import within

METHOD = "supervisor.getAllConfigInfo"
#: An answer has about 2 kB for each program; bytes.
LONGEST = 8 * 1024 * 1024


def ask(environ: Mapping[str, str], patience: float) -> Period | None:
    """``stopwaitsecs`` of the program that this process is; ``None`` if supervisord is not there.

    Raises:
        Silent: supervisord has started it, and does not answer.
    """
    if not environ.get("SUPERVISOR_ENABLED"):
        return None
    url = environ.get("SUPERVISOR_SERVER_URL", "")
    if not url:
        raise Silent("supervisord has no [unix_http_server] to be asked by")
    group = environ.get("SUPERVISOR_GROUP_NAME", "")
    name = environ.get("SUPERVISOR_PROCESS_NAME", "")
    try:
        programs = within(patience, lambda: _programs(url, _headers(environ), patience))
    except (OSError, http.client.HTTPException, xmlrpc.Error, ValueError) as exc:
        raise Silent(f"supervisord at {_shown(url)} does not answer: {exc}") from exc
    return Period(grace_in(programs, group, name), f"stopwaitsecs of {group}:{name}")


def grace_in(programs: Any, group: str, name: str) -> float:
    """``stopwaitsecs`` of one program among all, in seconds.

    Raises:
        Silent: it is not there, or this supervisord does not report it.
    """
    for each in programs if isinstance(programs, list) else []:
        own = isinstance(each, dict) and (each.get("group"), each.get("name")) == (group, name)
        seconds = each.get("stopwaitsecs") if own else None
        if isinstance(seconds, (int, float)) and 0 <= seconds < math.inf:
            return float(seconds)
    raise Silent(f"supervisord does not report the stopwaitsecs of {group}:{name}")


def _headers(environ: Mapping[str, str]) -> dict[str, str]:
    headers = {"Content-Type": "text/xml"}
    user = environ.get("SUPERVISOR_USERNAME", "")  # as supervisor's own listeners get it
    if user:
        pair = f"{user}:{environ.get('SUPERVISOR_PASSWORD', '')}"
        headers["Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
    return headers


def _programs(url: str, headers: dict[str, str], patience: float) -> Any:
    where = urlsplit(url)
    line: http.client.HTTPConnection
    if where.scheme == "unix":
        line = _UnixLine(unquote(where.path), patience)
    else:
        line = http.client.HTTPConnection(where.hostname or "", where.port, timeout=patience)
    try:
        line.request("POST", "/RPC2", xmlrpc.dumps((), METHOD), headers)
        with contextlib.closing(line.getresponse()) as answer:  # it may have the socket to itself
            text = answer.read(LONGEST + 1)
    finally:
        line.close()
    if answer.status != 200:
        raise Silent(f"supervisord at {_shown(url)} answers {answer.status} {answer.reason}")
    if len(text) > LONGEST:
        raise Silent(f"supervisord at {_shown(url)} answers with more than {LONGEST} bytes")
    return _answer(text)


def _answer(text: bytes) -> Any:
    try:
        (programs,), _ = xmlrpc.loads(text)
    except xmlrpc.Error:
        raise
    except Exception as exc:  # whatever the parser makes of what is no answer
        raise ValueError(f"its answer cannot be read: {exc!r:.200}") from exc
    return programs


class _UnixLine(http.client.HTTPConnection):
    """HTTP over a socket in the file system."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _shown(url: str) -> str:
    """Without a password."""
    return url.rpartition("@")[2]
