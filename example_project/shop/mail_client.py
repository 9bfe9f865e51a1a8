"""The client of the mail service."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

from shop import settings

__all__ = ["MailRefused", "MailUnavailable", "send"]

_TIMEOUT = 10.0  # seconds
_TOO_MANY_REQUESTS = 429


class MailUnavailable(Exception):
    """The service did not take the mail now; it may do so later."""


class MailRefused(Exception):
    """The service will never take this mail."""


def send(address: str, subject: str, *, key: str) -> None:
    """Hand one mail to the service.

    Args:
        address: whom it is for.
        subject: its subject.
        key: names this mail; a service that has seen it before can drop the second one.

    Raises:
        MailUnavailable: the service is away or overloaded.
        MailRefused: the service does not want this mail.
    """
    request = urllib.request.Request(
        settings.MAIL_URL,
        data=json.dumps({"to": address, "subject": subject}).encode(),
        headers={"Content-Type": "application/json", "Idempotency-Key": key},
    )
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT):
            return
    except urllib.error.HTTPError as exc:
        with exc:
            if exc.code >= 500 or exc.code == _TOO_MANY_REQUESTS:
                raise MailUnavailable(f"{address}: HTTP {exc.code} {exc.reason}") from exc
            raise MailRefused(f"{address}: HTTP {exc.code} {exc.reason}") from exc
    except OSError as exc:  # refused, reset, timed out
        raise MailUnavailable(f"{address}: {exc}") from exc
