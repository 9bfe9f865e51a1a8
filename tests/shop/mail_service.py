"""A real HTTP server that takes mails, and fails by script."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class MailService:
    """Fails by script: the request's number → the status it gets."""

    def __init__(self, failures: dict[int, int]) -> None:
        self.failures = failures
        self.accepted: list[str] = []
        self.keys: set[str] = set()
        self.requests = 0
        self._lock = threading.Lock()

    def answer(self, address: str, key: str) -> int:
        """Take a mail, not too quickly; returns the status."""
        time.sleep(0.005)
        with self._lock:
            self.requests += 1
            status = self.failures.get(self.requests, 202)
            if status == 202:
                self.accepted.append(address)
                self.keys.add(key)
        return status

    @contextmanager
    def served(self) -> Iterator[str]:
        """Within, it takes mails at this URL."""
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                mail = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(service.answer(mail["to"], mail["key"]))
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Nothing: the test looks at what was accepted."""

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            thread = threading.Thread(target=server.serve_forever, args=(0.05,))
            thread.start()
            try:
                yield f"http://127.0.0.1:{server.server_address[1]}/mails"
            finally:
                server.shutdown()
                thread.join()
