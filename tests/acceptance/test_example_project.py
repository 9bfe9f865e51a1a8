"""The example project as its user meets it: real workers, all tasks interrupted by one deploy."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.harness import wait_for
from tests.shop.mail_service import MailService
from tests.shop.project import PACKAGE, PROJECT, Shop, opened

CUSTOMERS = 600
#: What the sample data comes to: two orders for each customer.
TOTAL = sum(100 + n + 250 for n in range(1, CUSTOMERS + 1)) / 100


@pytest.mark.slow
def test_a_deploy_interrupts_every_task_and_loses_nothing(tmp_path: Path, redis_url: str) -> None:
    # Failures on both sides of the deploy, and an address that is refused.
    service = MailService({50: 503, 51: 429, 300: 400, CUSTOMERS - 100: 500})
    backend = "tests.shop.mail_backend.EmailBackend"
    with (
        service.served() as url,
        opened(tmp_path, redis_url, EMAIL_BACKEND=backend, MAIL_URL=url) as shop,
    ):
        shop.manage("sample", "--customers", str(CUSTOMERS))
        shop.start_worker().wait_ready()
        mailing = shop.send("shop.send_mailing", campaign="spring", subject="News")
        wait_for(lambda: len(service.accepted) > 60, 60, "mails")
        statements = shop.send("shop.nightly_statements")
        new = shop.deploy(lambda: statement_count(shop) > 20)
        mailed, summed = mailing.get(timeout=90), statements.get(timeout=60)
        log = shop.workers[0].log()

        assert mailed == {"sent": CUSTOMERS - 1, "refused": 1, "in_doubt": []}
        addresses = {email for (email,) in shop.rows("SELECT email FROM customers_customer")}
        assert set(Counter(service.accepted).values()) == {1}
        assert len(addresses - set(service.accepted)) == 1  # the one that was refused
        assert len(service.keys) == len(service.accepted)
        # Not one request more than the customers and the retries of those who failed.
        assert service.requests == CUSTOMERS + 3

        (day,) = {day for (day,) in shop.rows("SELECT DISTINCT day FROM orders_order")}
        assert summed == {"day": day, "total": f"{TOTAL:.2f}"}
        assert statement_count(shop) == CUSTOMERS
        assert log.count("was interrupted: shutdown") == 2
        assert new.log().count("resumes after cursor") >= 2


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
