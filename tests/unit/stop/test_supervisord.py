"""stopwaitsecs, as supervisord tells it to a worker."""

from __future__ import annotations

import gc
import socket
import socketserver
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from xmlrpc.server import (
    SimpleXMLRPCDispatcher,
    SimpleXMLRPCRequestHandler,
    SimpleXMLRPCServer,
)

import pytest

from celery_graceful.grace import supervisord
from celery_graceful.grace.deadlines import Period, Silent
from celery_graceful.grace.supervisord import ask, grace_in

PROGRAMS = [
    {"group": "shop", "name": "beat", "stopwaitsecs": 10},
    {"group": "shop", "name": "worker-1", "stopwaitsecs": 45},
]


class Handler(SimpleXMLRPCRequestHandler):
    rpc_paths = ("/RPC2",)
    disable_nagle_algorithm = False  # there is none on a socket in the file system

    def log_request(self, *_: Any) -> None:
        """Say nothing."""

    def parse_request(self) -> bool:
        if not super().parse_request():
            return False
        if self.headers.get("Authorization", "") in self.server.welcome:  # type: ignore[attr-defined]
            return True
        self.send_error(401)
        return False

    def log_error(self, *_: Any) -> None:
        """Say nothing."""


class OverUnix(socketserver.UnixStreamServer, SimpleXMLRPCDispatcher):
    def __init__(self, path: str) -> None:
        SimpleXMLRPCDispatcher.__init__(self)
        socketserver.UnixStreamServer.__init__(self, path, Handler)


@contextmanager
def serving(server: Any, welcome: str = "") -> Iterator[None]:
    server.welcome = [welcome]
    server.register_function(lambda: PROGRAMS, "supervisor.getAllConfigInfo")
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def asked_once(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """The address of a server that answers one request."""
    server = HTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.handle_request)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        thread.join()
        server.server_close()


def environ(url: str) -> dict[str, str]:
    return {
        "SUPERVISOR_ENABLED": "1",
        "SUPERVISOR_SERVER_URL": url,
        "SUPERVISOR_GROUP_NAME": "shop",
        "SUPERVISOR_PROCESS_NAME": "worker-1",
    }


EXPECTED = Period(45, "stopwaitsecs of shop:worker-1")


def test_supervisord_is_asked_over_its_socket(tmp_path: Path) -> None:
    path = f"{tmp_path}/s.sock"
    with serving(OverUnix(path)):
        assert ask(environ(f"unix://{path}"), 5) == EXPECTED


def test_supervisord_is_asked_over_http() -> None:
    server = SimpleXMLRPCServer(("127.0.0.1", 0), Handler)
    with serving(server):
        assert ask(environ(f"http://127.0.0.1:{server.server_address[1]}"), 5) == EXPECTED


def test_a_password_is_taken_from_where_supervisors_own_listeners_have_it(tmp_path: Path) -> None:
    path = f"{tmp_path}/s.sock"
    given = environ(f"unix://{path}")
    with serving(OverUnix(path), welcome="Basic dXNlcjpzZWNyZXQ="):
        with pytest.raises(Silent):  # 401, or the line is cut before that is read
            ask(given, 5)
        given.update(SUPERVISOR_USERNAME="user", SUPERVISOR_PASSWORD="secret")
        assert ask(given, 5) == EXPECTED


def test_elsewhere_nobody_is_asked() -> None:
    assert ask({}, 5) is None


@pytest.mark.parametrize("url", ["", "unix:///nowhere/s.sock", "http://127.0.0.1:1", "what"])
def test_a_supervisord_that_cannot_be_reached_is_silent(url: str) -> None:
    with pytest.raises(Silent):
        ask(environ(url), 1)


OWN = {"group": "shop", "name": "worker-1"}


@pytest.mark.parametrize(
    "programs",
    [
        *([], None, 7, "programs", [None, "worker-1"], [OWN]),
        *([{**OWN, "stopwaitsecs": what}] for what in ("45", None, [45], -1, float("inf"))),
    ],
)
def test_one_that_does_not_tell_is_silent(programs: Any) -> None:
    with pytest.raises(Silent, match="shop:worker-1"):
        grace_in(programs, "shop", "worker-1")


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"<methodResponse>",
        b"<methodResponse><params></params></methodResponse>",
        b"<methodResponse><params><param><value><int>x</int></value></param></params>"
        b"</methodResponse>",
        b"x" * (supervisord.LONGEST + 1),
    ],
)
def test_what_is_no_answer_is_silence(text: bytes) -> None:
    class Strange(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(200)
            self.end_headers()
            with suppress(OSError):  # who asks hangs up when it has read enough
                self.wfile.write(text)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with asked_once(Strange) as url, pytest.raises(Silent):
        ask(environ(url), 5)


def test_a_connection_that_breaks_within_the_answer_is_closed() -> None:
    class Broken(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(200)
            self.end_headers()
            # Closed with data unread: the one who asks gets a reset, not an end.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with asked_once(Broken) as url, pytest.raises(Silent, match="does not answer"):
        ask(environ(url), 5)
    gc.collect()  # a socket left open is a warning here, and that is an error
