"""A stand-in for a mail service: ``python -m shop.toy_mail_service``. It sends nothing."""

from __future__ import annotations

import json
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from shop import settings

__all__ = ["main"]

#: One request in so many is answered with 503, as real services do now and then.
FAILS_EVERY = 250

_requests = 0


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        global _requests
        _requests += 1
        mail = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        fails = _requests % FAILS_EVERY == 0
        self.send_response(503 if fails else 202)
        self.end_headers()
        print(f"{_requests:6} {'503' if fails else '202'} {mail['to']}")

    def log_message(self, format: str, *args: object) -> None:
        """Said above already."""


def main() -> None:
    """Serve at the address of ``SHOP_MAIL_URL`` until Ctrl-C."""
    address = urllib.parse.urlsplit(settings.MAIL_URL)
    with ThreadingHTTPServer((address.hostname or "", address.port or 80), _Handler) as server:
        print(f"Taking mails at {settings.MAIL_URL}; Ctrl-C ends it.")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print(f"{_requests} requests.")


if __name__ == "__main__":
    main()
