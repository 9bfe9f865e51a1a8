"""``celery beat`` during maintenance: what is held is not sent; afterwards each policy is kept."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP, SIGTERM
from typing import Any

import psutil
import pytest
import redis

from celery_graceful.maintenance.beat.owed import NOTICE, decode_owed
from celery_graceful.model.maintenance.mode import (
    EVERYTHING,
    Kind,
    Mode,
    Scope,
    hold_scopes,
    release_scopes,
)
from celery_graceful.model.maintenance.mode_text import decode_mode, encode_mode
from celery_graceful.stores.base import NOTICES
from celery_graceful.stores.url import open_store
from tests.harness import Worker, wait_for
from tests.harness.beat import Beat

APP = "tests.acceptance.apps.beating"
EVERY = 0.25
HELD = ("skipped", "once", "all")
GOING_ON = ("run", "exempt")
POLICIES = {"skipped": "skip", "on*": "once", "all": "all", "run": "run"}

MAKE_TABLES = """
import json, os
from tests.acceptance.apps import beating
from django.core.management import call_command
call_command("migrate", verbosity=0)
from django_celery_beat.models import IntervalSchedule, PeriodicTask
for name, entry in json.loads(os.environ["ENTRIES"]).items():
    every = IntervalSchedule.objects.get_or_create(
        every=int(entry["schedule"] * 1e6), period=IntervalSchedule.MICROSECONDS
    )[0]
    PeriodicTask.objects.create(
        name=name, task=entry["task"], interval=every, args=json.dumps(entry["args"]),
        queue=entry.get("options", {}).get("queue"),
    )
"""


class Scene:
    """A broker that nobody consumes from, so that all that beat ever sent is there to count."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder
        self.entries: dict[str, Any] = {
            name: {"task": "beating.tell", "schedule": EVERY, "args": [name]}
            for name in (*HELD, *GOING_ON)
        }
        self.entries["exempt"]["options"] = {"queue": "alerts"}
        self.settings: dict[str, Any] = {
            "beat_schedule": self.entries,
            "graceful_maintenance_beat": POLICIES,
            "graceful_maintenance_exempt_queues": ["alerts"],
        }
        self.more_args: tuple[str, ...] = ()
        self.more_env: dict[str, str] = {}
        self.beats: list[Worker] = []
        self._client = redis.Redis.from_url(url)
        self._store = open_store(url, "beating")

    def close(self) -> None:
        self._client.close()
        self._store.close()

    @property
    def env(self) -> dict[str, str]:
        return {
            "BROKER_URL": self.url,
            "RESULT_URL": self.url,
            "LEDGER": str(self.folder / "ledger"),
            "SETTINGS": json.dumps(self.settings),
            **self.more_env,
        }

    def beat(self) -> Worker:
        """Start a beat and wait until it ticks."""
        beat = Beat(
            APP,
            schedule=self.folder / "schedule",
            args=self.more_args,
            env=self.env,
            logfile=self.folder / f"beat-{len(self.beats)}.log",
        )
        self.beats.append(beat)
        beat.start().wait_log("beat: Starting", timeout=60)
        return beat

    def change(self, change: Callable[[Mode, float], Mode]) -> None:
        """Change the maintenance mode as ``graceful down`` and ``up`` do."""
        notice = self._store.read_text(NOTICES, "maintenance")
        mode = change(decode_mode(notice.text, notice.version), notice.now)
        assert self._store.write_text(
            NOTICES, "maintenance", encode_mode(mode), expected=notice.version
        )

    def down(self, *scopes: Scope) -> None:
        self.change(
            lambda mode, now: hold_scopes(mode, scopes or [EVERYTHING], now=now, who="test")
        )

    def up(self) -> None:
        self.change(lambda mode, now: release_scopes(mode, [], now=now, who="test"))

    def owed(self) -> dict[str, int]:
        return decode_owed(self._store.read_text(NOTICES, NOTICE).text)[0]

    def sent(self) -> Counter[str]:
        """How often each entry was sent."""
        found: Counter[str] = Counter()
        for queue in ("celery", "alerts"):
            for message in self._client.lrange(queue, 0, -1):
                args, *_ = json.loads(base64.b64decode(json.loads(message)["body"]))
                found.update(args)
        return found

    def due(self) -> Counter[str]:
        """How often each entry was due: sent, by Celery's own word, or held."""
        return self._logged(r"Sending due task (\w+) ") + self.kept()

    def kept(self) -> Counter[str]:
        """How often each entry was held."""
        return self._logged(r"Not sent: the entry (\w+) ")

    def _logged(self, pattern: str) -> Counter[str]:
        return Counter(name for beat in self.beats for name in re.findall(pattern, beat.log()))

    def wait_due(self, times: int) -> None:
        """Wait until each entry was due so many more times."""
        before = self.due()
        wait_for(
            lambda: all(self.due()[name] >= before[name] + times for name in self.entries),
            60,
            lambda: f"{before} {self.due()}\n{self.beats[-1].log()[-3000:]}",
        )

    def wait_balance(self) -> None:
        """Wait until entries were sent as often as Celery says."""
        wait_for(self.balanced, 30, lambda: f"{self.sent()} {self.due()} {self.kept()}")

    def balanced(self) -> bool:
        """Whether that is so; what is sent later is logged in different ways."""
        sent, said = self.sent(), self.due() - self.kept()
        return all(sent[name] == said[name] for name in (*GOING_ON, "skipped"))

    def held_balanced(self) -> bool:
        """Whether each held entry that was due is written down: that is logged afterwards."""
        due, kept = self.due(), self.kept()
        return all(due[name] == kept[name] for name in HELD)

    def nothing_lost(self) -> bool:
        """Whether entries that are sent sooner or later are so each time, and `once` once more.

        All have the same interval, and one more may be due when beat is stopped.
        """
        sent = self.sent()
        all_ = abs(sent["all"] - sent["run"]) <= 1
        return all_ and 0 <= sent["once"] - sent["skipped"] <= 2

    def signal_balanced(self, beat: Worker, number: int, *, held: bool = False) -> None:
        """Send a signal between two entries: what is due is logged before it is held or sent."""
        process = psutil.Process(beat.pid)

        def signalled() -> bool:
            beat.signal(SIGSTOP)
            wait_for(lambda: process.status() == psutil.STATUS_STOPPED, 10, "beat to stand still")
            balanced = self.balanced() and (not held or self.held_balanced())
            if balanced:
                beat.signal(number)
            beat.signal(SIGCONT)
            return balanced

        wait_for(
            signalled,
            30,
            lambda: f"{self.sent()} {self.due()} {self.kept()}",
            interval=0.05,
        )


@pytest.fixture
def scene(redis_url: str, tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(redis_url, tmp_path)
    yield scene
    scene.close()


@pytest.fixture
def redbeat_scene(scene: Scene) -> Scene:
    pytest.importorskip("redbeat")
    scene.settings["redbeat_redis_url"] = scene.url
    scene.more_args = ("-S", "redbeat.RedBeatScheduler")
    return scene


@pytest.fixture
def django_scene(scene: Scene) -> Scene:
    pytest.importorskip("django_celery_beat")
    scene.more_args = ("-S", "django_celery_beat.schedulers:DatabaseScheduler")
    scene.more_env["DATABASE"] = str(scene.folder / "django.sqlite3")
    del scene.settings["beat_schedule"]
    making = {**os.environ, **scene.env, "ENTRIES": json.dumps(scene.entries)}
    subprocess.run([sys.executable, "-c", MAKE_TABLES], env=making, check=True, timeout=60)
    return scene


def keeps_policies(scene: Scene) -> None:
    """A hold with a restart of beat in it, then ``up``: every entry as its policy says."""
    scene.down()
    first = scene.beat()
    first.wait_log(r"Maintenance: everything \(by test\). \d of \d entries held")
    scene.wait_due(3)
    scene.wait_balance()
    scene.signal_balanced(first, SIGTERM, held=True)
    assert first.wait() == 0
    assert scene.owed() == {"once": 1, "all": scene.kept()["all"]}
    second = scene.beat()
    second.wait_log(r"\d of \d entries held")
    scene.wait_due(2)
    scene.wait_balance()  # logged before it is sent
    during = scene.sent()
    assert not any(during[name] for name in HELD)
    assert all(during[name] >= 5 for name in GOING_ON)

    scene.up()
    second.wait_log(r"Maintenance has ended; .* all × \d+, once × 1")
    second.wait_log("All is caught up: ")
    before = scene.due()
    wait_for(lambda: scene.due()["skipped"] > before["skipped"] + 1, 30, "entries sent as ever")
    scene.wait_balance()
    assert scene.nothing_lost()
    assert scene.owed() == {}


@pytest.mark.slow
def test_the_default_scheduler(scene: Scene) -> None:
    keeps_policies(scene)


@pytest.mark.slow
def test_redbeat(redbeat_scene: Scene) -> None:
    keeps_policies(redbeat_scene)


@pytest.mark.slow
def test_django_celery_beat(django_scene: Scene) -> None:
    keeps_policies(django_scene)


@pytest.mark.slow
def test_a_beat_that_is_killed_forgets_nothing(scene: Scene) -> None:
    scene.down(Scope(Kind.TASK, "beating.*"))
    first = scene.beat()
    first.wait_log("3 of 5 entries held")
    scene.wait_due(3)
    scene.signal_balanced(first, SIGKILL)
    first.wait()
    counted = scene.kept()["all"]
    assert counted <= scene.owed()["all"] <= counted + 1
    scene.up()
    second = scene.beat()
    second.wait_log("All is caught up: ")
    scene.signal_balanced(second, SIGTERM)
    second.wait()
    assert scene.owed() == {}
    assert -1 <= scene.sent()["all"] - scene.sent()["run"] <= 2  # one of them perhaps twice


@pytest.mark.slow
@pytest.mark.parametrize("pool", ["prefork", "solo"])  # beat in a process, or in a thread
def test_an_embedded_beat(scene: Scene, start_worker: Callable[..., Worker], pool: str) -> None:
    scene.down()
    worker = start_worker(
        APP,
        pool=pool,
        args=["-c", "1", "-B", "-Q", "nothing", "-s", str(scene.folder / "schedule")],
        env=scene.env,
    )
    scene.beats.append(worker)
    worker.wait_log("3 of 5 entries held", timeout=60)
    scene.wait_due(3)
    assert set(scene.sent()) == set(GOING_ON)
    scene.up()
    worker.wait_log("All is caught up: ")
    assert scene.sent()["once"] >= 1
    assert scene.sent()["all"] >= scene.kept()["all"]
    assert scene.owed() == {}
