"""A mailing that calls an HTTP service, in generator style."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any

from celery_graceful import iterable_task
from shop import database, mail_client

__all__ = ["send_mailing"]

_PAGE = 200


@iterable_task(
    name="shop.send_mailing",
    bind=True,
    autoretry_for=(mail_client.MailUnavailable,),
    retry_backoff=1,  # seconds: 1, 2, 4 … as long as the same recipient fails
    retry_backoff_max=60,
    max_retries=8,
)
def send_mailing(
    self: Any, campaign: str, subject: str, *, cursor: int | None = None
) -> Generator[int, None, dict[str, int]]:
    """Mail every customer once.

    When the service is away the exception goes to Celery, which retries; the retry goes on with
    the recipient that failed, not with the first. A recipient who got through gives the retry
    budget back.
    """
    for recipient in _recipients(after=cursor or 0):
        try:
            mail_client.send(
                recipient["email"], subject, key=f"{campaign}/customer-{recipient['id']}"
            )
            outcome = "sent"
        except mail_client.MailRefused:
            outcome = "refused"
        self.carry[outcome] = self.carry.get(outcome, 0) + 1
        yield recipient["id"]
    return {name: self.carry.get(name, 0) for name in ("sent", "refused")}


def _recipients(after: int) -> Iterator[Any]:
    """Customers by id, a page at a time: no query stays open while mails are sent."""
    while True:
        with database.connect() as db:
            page = db.execute(
                "SELECT id, email FROM customers WHERE id > ? ORDER BY id LIMIT ?", (after, _PAGE)
            ).fetchall()
        if not page:
            return
        yield from page
        after = page[-1]["id"]
