"""The mailing: no customer is mailed twice, whatever happens."""

from __future__ import annotations

import smtplib
from collections.abc import Sequence

import pytest
from customers.models import Customer
from customers.tasks import send_mailing
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend

from celery_graceful.testing import assert_resumable, run_until

pytestmark = pytest.mark.django_db(transaction=True)

MAILING = ("spring", "Hello")
#: The Message-ID of each mail that was sent.
sent: list[str] = []


class Backend(BaseEmailBackend):
    """Notes each mail; refuses one address, and fails at the next one's first mail."""

    def send_messages(self, messages: Sequence[EmailMessage]) -> int:
        for message in messages:
            if message.to == ["customer3@example.com"]:
                raise smtplib.SMTPRecipientsRefused({message.to[0]: (550, b"no such user")})
            sent.append(message.extra_headers["Message-ID"])
        return len(messages)


@pytest.fixture(autouse=True)
def seven_customers(settings: pytest.FixtureRequest) -> None:
    settings.EMAIL_BACKEND = f"{__name__}.Backend"
    sent.clear()
    for n in range(1, 8):
        Customer.objects.create(name=f"Customer {n}", email=f"customer{n}@example.com")
    Customer.objects.create(name="Quiet", email="quiet@example.com", wants_news=False)


def test_it_may_be_interrupted_anywhere() -> None:
    # A crash leaves a mail in doubt, which is another outcome: see the next test.
    assert_resumable(send_mailing, MAILING, outcome=lambda: sent, reset=sent.clear, crashes=False)
    assert len(sent) == len(set(sent)) == 6


def test_it_goes_on_with_the_next_customer() -> None:
    run = run_until(send_mailing, MAILING, items=4)
    assert run.carry == {"sent": 3, "refused": 1}
    assert run.resume().result == {"sent": 6, "refused": 1, "in_doubt": []}
    assert len(sent) == len(set(sent)) == 6
