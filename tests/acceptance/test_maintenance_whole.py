"""A deploy as a whole: three workers, a backlog, ETAs, a long run and beat, through two pauses."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.acceptance.closing import Closing
from tests.harness import Worker, wait_for
from tests.harness.beat import Beat
from tests.servers.proxy import Proxy, proxy

APP = "tests.acceptance.apps.upkeep"
#: Of the workers that the fixture ``upkeep`` makes.
SETTINGS = {
    "worker_prefetch_multiplier": 4,
    "beat_schedule": {"tick": {"task": "upkeep.short", "schedule": 0.5, "args": ["beat"]}},
}
SHORT, ETA, ITEMS = 150, 8, 600
#: How long nothing may start, in seconds.
QUIET = 8.0
#: Beat may have been at an entry when the mode changed.
BEAT_LATE = 2.0


@pytest.fixture
def between(broker_url: str) -> Iterator[Proxy]:
    """A way to the broker that can be cut."""
    port = urlsplit(broker_url).port
    assert port is not None
    with proxy(port) as opened:
        yield opened


@pytest.mark.slow
@pytest.mark.parametrize(
    "common",
    [
        pytest.param(False, id="forced-apart", marks=pytest.mark.matrix),
        pytest.param(True, id="forced-in-common"),
    ],
)
def test_a_barrier_in_the_midst_of_everything(
    upkeep: Closing, between: Proxy, tmp_path: Path, common: bool
) -> None:
    broker = upkeep.scene.broker
    cut_broker = broker.replace(f":{urlsplit(broker).port}/", f":{between.port}/")
    forced_queues = "forced,celery" if common else "forced"
    forced = upkeep.scene.worker("--maintenance-force", "-Q", forced_queues)
    workers = [upkeep.scene.worker(), upkeep.scene.worker(env={"BROKER_URL": cut_broker})]
    walk = upkeep.send("walk", "walk", ITEMS, 0.02)
    sent = [upkeep.send("short", f"s{n}", 0.05) for n in range(SHORT)]
    sent += [upkeep.send("other", f"eta{n}", countdown=6 + n) for n in range(ETA)]
    schedule, log = tmp_path / "schedule", tmp_path / "beat.log"
    with Beat(APP, schedule=schedule, env=upkeep.env, logfile=log) as beat:
        beat.wait_log("beat: Starting", 60)
        beat.wait_log("Sending due task tick")
        upkeep.wait_noted("walk:", 5)
        done = upkeep.graceful("down", "--wait", "--timeout", "60s", "--reason", "a migration")
        assert done.returncode == 0, done.stderr
        paused_at = time.monotonic()
        wait_for(lambda: time.monotonic() > paused_at + BEAT_LATE, 5, "that beat has looked")
        sent_by_beat = sent_of(beat)

        late = upkeep.scene.worker()
        between.drop()
        sent += [upkeep.send("short", f"late{n}") for n in range(20)]
        apart = upkeep.send("short", "forced", queue="forced")
        wait_for(lambda: time.monotonic() > paused_at + QUIET, QUIET + 5, "the time")
        assert apart.get(timeout=5) == "forced"
        begun = [e for e in upkeep.scene.ledger.entries() if e.at > paused_at]
        assert [e.item for e in begun if e.pid not in forced.children()] == []
        assert sent_of(beat) - sent_by_beat in (0, 1), "it may be in the midst of an entry"
        assert beat.log().count("Not sent: the entry tick") > QUIET

        assert upkeep.graceful("up").returncode == 0
        for result in sent:
            result.get(timeout=60)
        assert walk.get(timeout=60) == ITEMS
    assert upkeep.noted("walk:") == [f"walk:{n}" for n in range(ITEMS)]
    counts = Counter(n for n in upkeep.noted() if n != "short:beat")
    assert set(counts.values()) == {1}
    assert len(counts) == ITEMS + SHORT + ETA + 20 + 1
    assert "Rescued" not in "".join(w.log() for w in (*workers, late, forced))


def sent_of(beat: Worker) -> int:
    """How many entries beat has sent."""
    return beat.log().count("Sending due task tick")
