"""Entries that come only once are not lost when they were held, in schedulers that have them."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from tests.harness.forkserver import run

#: A beat without its loop, whose mode is changed between two turns.
BEGIN = """
import io, json, logging, os, time
from datetime import timedelta
import redis
from celery_graceful.stores.base import NOTICES
from celery_graceful.maintenance.beat.schedule import install_gate
from celery_graceful.model.maintenance.mode import EVERYTHING, release_scopes, hold_scopes
from celery_graceful.model.maintenance.mode_text import decode_mode, encode_mode
from celery_graceful.runtime import runtime_of
from tests.acceptance.apps.beating import app

log = io.StringIO()
logging.basicConfig(stream=log, level=logging.INFO)
client = redis.Redis.from_url(os.environ["BROKER_URL"])
board = runtime_of(app).open_store()

def change(how):
    notice = board.read_text(NOTICES, "maintenance")
    mode = how(decode_mode(notice.text, notice.version), notice.now)
    assert board.write_text(NOTICES, "maintenance", encode_mode(mode), expected=notice.version)

def down():
    change(lambda mode, now: hold_scopes(mode, [EVERYTHING], now=now, who="me"))

def up():
    change(lambda mode, now: release_scopes(mode, [], now=now, who="me"))

def sent():
    return sorted(json.loads(m)["headers"]["argsrepr"] for m in client.lrange("celery", 0, -1))

def turns(scheduler, enough):
    until = time.monotonic() + 20
    while not enough():
        assert time.monotonic() < until, (sent(), log.getvalue())
        scheduler.tick()
        time.sleep(0.01)
"""

REDBEAT = """
from datetime import datetime, timezone
from redbeat import RedBeatScheduler, RedBeatSchedulerEntry
from redbeat.schedules import rrule

scheduler = RedBeatScheduler(app=app, max_interval=60)
scheduler.lock = client.lock("beat", timeout=60)
scheduler.lock.acquire()
install_gate(scheduler, runtime_of(app))
down()
now = datetime.now(timezone.utc)
for name, count in {"single": 1, "again": None}.items():
    due = rrule("HOURLY", dtstart=now - timedelta(minutes=1), count=count)
    entry = RedBeatSchedulerEntry(name, "beating.tell", due, args=[name], app=app)
    entry.last_run_at = now - timedelta(minutes=2)
    entry.save()
    entry.reschedule(now - timedelta(minutes=2))
turns(scheduler, lambda: log.getvalue().count("Not sent") == 2)
assert sent() == []
up()
turns(scheduler, lambda: "All is caught up" in log.getvalue())
assert sent() == ["['single']"], sent()
"""

DJANGO = """
from django.core.management import call_command
from django.utils import timezone
call_command("migrate", verbosity=0)
from django_celery_beat.models import ClockedSchedule, IntervalSchedule, PeriodicTask
from django_celery_beat.schedulers import DatabaseScheduler

now = timezone.now()
clocked = ClockedSchedule.objects.create(clocked_time=now - timedelta(seconds=1))
often = IntervalSchedule.objects.create(every=1, period=IntervalSchedule.MICROSECONDS)
hourly = IntervalSchedule.objects.create(every=1, period=IntervalSchedule.HOURS)

def make(name, **options):
    PeriodicTask.objects.create(
        name=name, task="beating.tell", args=json.dumps([name]), **options
    )

make("single", interval=often, one_off=True)
make("clocked", clocked=clocked, one_off=True)
make("begins", interval=hourly, one_off=True, start_time=now - timedelta(seconds=1))
expires = timezone.now() + timedelta(seconds=3)
make("expires", interval=often, one_off=True, expires=expires)
make("named", interval=often, one_off=True)

scheduler = DatabaseScheduler(app=app)
scheduler.sync_every = 0
install_gate(scheduler, runtime_of(app))
down()
turns(scheduler, lambda: log.getvalue().count("Not sent") == 5)
while timezone.now() < expires:
    time.sleep(0.01)
up()
turns(scheduler, lambda: "All is caught up" in log.getvalue())
assert sent() == ["['begins']", "['clocked']", "['single']"], sent()
assert "The entry expires was due" in log.getvalue(), log.getvalue()
turns(scheduler, lambda: not PeriodicTask.objects.filter(one_off=True, enabled=True).exists())
scheduler.sync()
assert len(sent()) == 3, "they come only once"
"""

OWN = """
from celery.beat import Scheduler
from celery.schedules import BaseSchedule, schedstate

class Never(BaseSchedule):
    def is_due(self, last_run_at):
        return schedstate(True, 3600)

class Once(Never):
    def remaining_estimate(self, last_run_at):
        return None

app.conf.beat_schedule = {
    kind.__name__: {"task": "beating.tell", "schedule": kind(app=app), "args": (kind.__name__,)}
    for kind in (Never, Once)
}
scheduler = Scheduler(app)
install_gate(scheduler, runtime_of(app))
down()
turns(scheduler, lambda: log.getvalue().count("Not sent") == 2)
up()
turns(scheduler, lambda: "All is caught up" in log.getvalue())
assert sent() == ["['Once']"], sent()
"""

#: A line for each entry that is held; sentry's cron monitors hear of what is sent, and of no more.
SENTRY = """
import sentry_sdk
from sentry_sdk.integrations.celery import CeleryIntegration

heard = []

class Transport(sentry_sdk.transport.Transport):
    def capture_envelope(self, envelope):
        heard.extend(i.payload.json for i in envelope.items if i.headers["type"] == "check_in")

sentry_sdk.init(
    dsn="https://key@localhost/1",
    transport=Transport,
    integrations=[CeleryIntegration(monitor_beat_tasks=True)],
)
from celery.beat import Scheduler
app.conf.beat_schedule = {
    "hourly": {"task": "beating.tell", "schedule": 3600.0, "args": ("hourly",)}
}
scheduler = Scheduler(app)
install_gate(scheduler, runtime_of(app))
down()
scheduler.tick()
scheduler.apply_entry(scheduler.schedule["hourly"])
assert heard == [], heard
up()
turns(scheduler, lambda: "All is caught up" in log.getvalue())
(check_in,) = heard
assert check_in["status"] == "in_progress"
headers = json.loads(client.lrange("celery", 0, -1)[0])["headers"]
assert headers["sentry-monitor-check-in-id"] == check_in["check_in_id"]
"""

END = """
held = [line for line in log.getvalue().splitlines() if "Sending due task" in line]
assert len(held) <= len(sent()), held
assert board.close() is None
"""


@pytest.mark.parametrize(
    ("package", "script", "policies"),
    [
        pytest.param("redbeat", REDBEAT, {}, id="redbeat"),
        pytest.param("django_celery_beat", DJANGO, {"named": "skip"}, id="django"),
        pytest.param("celery", OWN, {}, id="own schedule"),
        pytest.param("sentry_sdk", SENTRY, "once", id="sentry"),
    ],
)
def test_what_comes_only_once(
    package: str, script: str, policies: object, redis_url: str, tmp_path: Path
) -> None:
    pytest.importorskip(package)
    env = {
        **os.environ,
        "BROKER_URL": redis_url,
        "RESULT_URL": redis_url,
        "LEDGER": str(tmp_path / "ledger"),
        "SETTINGS": json.dumps(
            {
                "redbeat_redis_url": redis_url,
                "result_expires": None,
                "graceful_maintenance_beat": policies,
            }
        ),
        "DATABASE": str(tmp_path / "django.sqlite3") if package.startswith("django") else "",
    }
    done = run([sys.executable, "-c", BEGIN + script + END], env=env, timeout=60)
    assert done.returncode == 0, done.stderr
