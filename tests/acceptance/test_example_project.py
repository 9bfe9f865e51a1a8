"""The example project as its user meets it: real workers, all tasks interrupted by one deploy."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.harness import wait_for
from tests.shop.interruptions import Interrupter
from tests.shop.mail_service import MailService
from tests.shop.project import PACKAGE, PROJECT, Shop, opened

CUSTOMERS = 600
#: What the sample data comes to: two orders for each customer.
TOTAL = sum(100 + n + 250 for n in range(1, CUSTOMERS + 1)) / 100
WHOLE_EUROS = "SELECT sum(cast(total AS integer)) FROM orders_order"


@pytest.mark.slow
def test_a_deploy_and_a_crash_interrupt_every_task(tmp_path: Path, redis_url: str) -> None:
    # Failures on both sides of the deploy, and an address that is refused.
    service = MailService({50: 503, 51: 429, 200: 400, CUSTOMERS - 100: 500})
    backend = "tests.shop.mail_backend.EmailBackend"
    with (
        service.served() as url,
        opened(tmp_path, redis_url, EMAIL_BACKEND=backend, MAIL_URL=url) as shop,
    ):
        shop.manage("sample", "--customers", str(CUSTOMERS))
        interrupter = Interrupter(shop, print)
        mailing = shop.send("shop.send_mailing", campaign="spring", subject="News")
        wait_for(lambda: len(service.accepted) > 60, 60, "mails")
        statements = shop.send("shop.nightly_statements")
        points = shop.send("shop.award_points")
        wait_for(lambda: statement_count(shop) > 20, 60, "statements")
        interrupter.sigterm()
        wait_for(lambda: len(service.accepted) > CUSTOMERS // 2, 60, "mails of the next worker")
        interrupter.oom()
        check_the_mailing(shop, service, mailing.get(timeout=90))
        check_the_statements(shop, statements.get(timeout=60))
        assert points.get(timeout=60) == shop.number("SELECT sum(points) FROM customers_customer")
        assert points.result == shop.number(WHOLE_EUROS)
        stopped, resumed = (worker.log() for worker in shop.workers)
        assert stopped.count("was interrupted: shutdown") >= 2
        assert resumed.count("resumes after cursor") >= 3


def check_the_mailing(shop: Shop, service: MailService, result: dict[str, Any]) -> None:
    """Nobody was mailed twice; who was not mailed was refused or is in doubt."""
    addresses = {email for (email,) in shop.rows("SELECT email FROM customers_customer")}
    assert set(Counter(service.accepted).values()) == {1}
    assert len(service.keys) == len(service.accepted)
    assert len(result["in_doubt"]) <= 1
    assert result["sent"] + result["refused"] + len(result["in_doubt"]) == CUSTOMERS
    missing = addresses - set(service.accepted)
    assert len(missing - set(result["in_doubt"])) == result["refused"] == 1
    # Not one request more than the customers and the retries of those who failed.
    assert service.requests <= CUSTOMERS + 3


def check_the_statements(shop: Shop, result: dict[str, Any]) -> None:
    """One for each customer, and their sum."""
    (day,) = {day for (day,) in shop.rows("SELECT DISTINCT day FROM orders_order")}
    assert result == {"day": day, "total": f"{TOTAL:.2f}"}
    assert statement_count(shop) == CUSTOMERS


def statement_count(shop: Shop) -> int:
    return shop.number("SELECT count(*) FROM orders_statement")


def test_beat_sends_a_task_that_exists() -> None:
    code = (
        "import json; from shop.celery import app; app.loader.import_default_modules(); "
        "print(json.dumps({n: [e['task'], e['task'] in app.tasks]"
        " for n, e in app.conf.beat_schedule.items()}))"
    )
    done = in_the_project(sys.executable, "-c", code)
    assert json.loads(done.stdout) == {"nightly-statements": ["shop.nightly_statements", True]}


def test_its_own_tests_pass() -> None:
    done = in_the_project(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert " passed" in done.stdout


def in_the_project(*argv: str) -> subprocess.CompletedProcess[str]:
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "DJANGO"))}
    done = subprocess.run(
        argv,
        cwd=PROJECT,
        env={**env, "PYTHONPATH": str(PACKAGE.parent)},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done
