"""Entries are found in redbeat and django-celery-beat also when ``schedule`` does not have them."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from tests.harness.forkserver import run

REDBEAT = """
from redbeat import RedBeatScheduler, RedBeatSchedulerEntry
from celery_graceful._celery.beat import InterceptedScheduler
from tests.acceptance.apps.beating import app

scheduler = RedBeatScheduler(app=app, lock_key=None, max_interval=60)
for name, enabled in {"later": True, "off": False}.items():
    RedBeatSchedulerEntry(
        name, "beating.tell", 3600.0, args=[name], enabled=enabled, app=app
    ).save()
assert {"later", "off"}.isdisjoint(scheduler.schedule)
intercepted = InterceptedScheduler(scheduler)
assert intercepted.find("later").args == ["later"]
assert intercepted.find("off") is None
assert intercepted.find("never") is None
names = {entry.name for entry in intercepted.entries()}
assert "later" in names
assert "off" not in names
intercepted.send(intercepted.find("later"))
assert intercepted.find("later").total_run_count == 0, "it was sent out of its turn"
"""

DJANGO = """
from datetime import timedelta
from celery_graceful._celery.beat import InterceptedScheduler
from tests.acceptance.apps.beating import app
from django.core.management import call_command
from django.utils import timezone
call_command("migrate", verbosity=0)
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask
from django_celery_beat.schedulers import DatabaseScheduler

hour = (timezone.now() + timedelta(hours=12)).hour
hour += hour == 4  # of which the scheduler keeps everything
crontab = CrontabSchedule.objects.create(minute="0", hour=str(hour), timezone="UTC")
often = IntervalSchedule.objects.create(every=1, period=IntervalSchedule.MICROSECONDS)
make = PeriodicTask.objects.create
make(name="later", task="beating.tell", crontab=crontab, args='["later"]')
make(name="single", task="beating.tell", interval=often, one_off=True)
make(name="off", task="beating.tell", interval=often, enabled=False)

scheduler = DatabaseScheduler(app=app)
assert {"later", "off"}.isdisjoint(scheduler.schedule)
intercepted = InterceptedScheduler(scheduler)
intercepted.intercept(
    wake=lambda: None, keep_back=lambda entry: True, rest=lambda wanted: wanted, leave=lambda: None
)
for _ in range(9):
    scheduler.tick()
scheduler.sync()
assert PeriodicTask.objects.get(name="single").enabled is False, "it was due, if not sent"
assert intercepted.find("single").name == "single"
assert intercepted.find("later").args == ["later"]
assert intercepted.find("off") is None
assert intercepted.find("never") is None
"""


@pytest.mark.parametrize(
    ("package", "script"), [("redbeat", REDBEAT), ("django_celery_beat", DJANGO)]
)
def test_finding_entries(package: str, script: str, redis_url: str, tmp_path: Path) -> None:
    pytest.importorskip(package)
    # In a process of its own: Django is set up once for all.
    env = {
        **os.environ,
        "BROKER_URL": redis_url,
        "SETTINGS": json.dumps({"redbeat_redis_url": redis_url}),
        "DATABASE": str(tmp_path / "django.sqlite3") if package.startswith("django") else "",
    }
    done = run([sys.executable, "-c", script], env=env, timeout=60)
    assert done.returncode == 0, done.stderr
