"""A server for one screen: few threads, short timeouts, Werkzeug."""

from __future__ import annotations

import logging
import socket
from threading import BoundedSemaphore
from typing import TYPE_CHECKING, Any

from celery_graceful.text.printable import printable

if TYPE_CHECKING:
    from werkzeug.serving import BaseWSGIServer

    from celery_graceful.web.shell.wsgi import Application

logger = logging.getLogger("celery_graceful.web")

#: Seconds that a connection may be silent, and connections at the same time.
SILENCE = 15
CONNECTIONS = 128


def make_server(host: str, port: int, application: Application) -> BaseWSGIServer:
    """A server that listens already; ``serve_forever()`` answers.

    Raises:
        OSError: it cannot listen there.
    """
    from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

    class Handler(WSGIRequestHandler):
        timeout = SILENCE

        def version_string(self) -> str:
            return "celery-graceful"

        def log(self, type: str, message: str, *args: Any) -> None:
            level = logging.DEBUG if type == "info" else logging.WARNING
            logger.log(level, "%s: %s", self.address_string(), printable(message % args))

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            self.log("info", "%s", f"{self.requestline[:500]} {code}")

    class Server(ThreadedWSGIServer):
        daemon_threads = True
        _free = BoundedSemaphore(CONNECTIONS)

        def process_request(self, request: Any, client_address: Any) -> None:
            if not self._free.acquire(blocking=False):
                self.shutdown_request(request)
                return
            try:
                super().process_request(request, client_address)
            except BaseException:
                self._free.release()
                raise

        def process_request_thread(self, request: Any, client_address: Any) -> None:
            try:
                super().process_request_thread(request, client_address)
            finally:
                self._free.release()

    listening = _listen(host, port)
    try:
        return Server(host, port, application, Handler, fd=listening.fileno())
    finally:
        listening.close()  # the server has a copy


def _listen(host: str, port: int) -> socket.socket:
    """A socket that listens; Werkzeug's own attempt would end the process with advice on macOS."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
        made.listen(CONNECTIONS)
    except BaseException:
        made.close()
        raise
    return made
