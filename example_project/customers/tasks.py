"""A mailing to all customers who want news."""

from __future__ import annotations

import smtplib
from collections.abc import Iterable
from typing import Any

from django.core.mail import EmailMessage

from celery_graceful import IterableTask, iterable_task, sources
from customers.models import Customer


class SendMailing(IterableTask):
    """Mail every customer once.

    A mail cannot be taken back, and the server keeps no list of what it was given. With
    ``track_in_doubt`` the run records each customer before the mail is sent. After a crash exactly
    one mail is in doubt; it is not sent again but listed in the result, for a person to look at.
    """

    name = "shop.send_mailing"
    track_in_doubt = True
    autoretry_for = (OSError,)  # the server is away: also smtplib.SMTPException, which is one
    retry_backoff = 1  # seconds: 1, 2, 4 … as long as the same customer fails
    retry_backoff_max = 60
    max_retries = 8

    def build_enumerator(self, campaign: str, subject: str, *, cursor: Any) -> Iterable[Any]:
        return sources.queryset(Customer.objects.filter(wants_news=True), cursor=cursor)

    def each_iteration(self, customer: Customer, campaign: str, subject: str) -> None:
        if self.progress.in_doubt is not None and self.carry.pop("failed", None) != customer.pk:
            self.carry.setdefault("in_doubt", []).append(customer.email)
            return
        try:
            _mail(customer, campaign, subject).send()
        except smtplib.SMTPRecipientsRefused:
            self._count("refused")  # such an address is refused at each attempt
        except OSError:
            self.carry["failed"] = customer.pk  # it was not sent, for certain: try again
            raise
        else:
            self._count("sent")

    def count(self, campaign: str, subject: str) -> int:
        return Customer.objects.filter(wants_news=True).count()

    def result(self, campaign: str, subject: str) -> dict[str, Any]:
        counts = {name: self.carry.get(name, 0) for name in ("sent", "refused")}
        return {**counts, "in_doubt": self.carry.get("in_doubt", [])}

    def _count(self, name: str) -> None:
        self.carry[name] = self.carry.get(name, 0) + 1


send_mailing = iterable_task(SendMailing)


def _mail(customer: Customer, campaign: str, subject: str) -> EmailMessage:
    return EmailMessage(
        subject,
        f"Dear {customer.name}, …",
        to=[customer.email],
        # Always the same for this mail: some servers and readers drop the second of two.
        headers={"Message-ID": f"<{campaign}.{customer.pk}@shop.example.com>"},
    )
