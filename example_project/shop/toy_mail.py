"""An e-mail backend for trying out: mails go into a file, and fail now and then."""

from __future__ import annotations

import os
import random
import smtplib
from collections.abc import Sequence

from django.conf import settings
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend

#: One mail in so many fails, as on a server that is restarted now and then.
FAILS_EVERY = 250


class EmailBackend(BaseEmailBackend):
    """Appends a line for each mail to the file ``EMAIL_FILE``."""

    def send_messages(self, messages: Sequence[EmailMessage]) -> int:
        """Note each mail.

        Raises:
            smtplib.SMTPServerDisconnected: the mail was not taken; try again.
        """
        for message in messages:
            if random.randrange(FAILS_EVERY) == 0:
                raise smtplib.SMTPServerDisconnected("Connection unexpectedly closed")
            _append(f"{message.to[0]}  {message.subject}\n")
        return len(messages)


def _append(line: str) -> None:
    # In one write: lines of several workers do not mix.
    file = os.open(settings.EMAIL_FILE, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)
