"""Items quarantined by real runs: through crashes, listed, replayed."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from pathlib import Path
from signal import SIGKILL
from typing import Any

import pytest

from tests.acceptance.runs import Stage
from tests.harness import Ledger, wait_for
from tests.harness.forkserver import run

pytestmark = pytest.mark.slow

APP = "tests.acceptance.apps.crashing"
ITEMS, SEED = 600, 50
#: As ``celery -A … graceful``, also where the package is not installed.
COMMAND = f"""
import sys
from types import SimpleNamespace
from {APP} import app
from celery_graceful.cli import graceful
graceful(sys.argv[1:], obj=SimpleNamespace(app=app), prog_name="celery graceful")
"""


def graceful(stage: Stage, *words: str) -> Any:
    """What a command answers with ``--json``."""
    env = {
        **os.environ,
        "BROKER_URL": stage.broker,
        "RESULT_URL": stage.backend,
        "SETTINGS": json.dumps(stage.settings),
        "LEDGER": "none",
    }
    command = [sys.executable, "-c", COMMAND, *words, "--json"]
    done = run(command, env=env, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_quarantined_listed_and_replayed(stage: Stage, tmp_path: Path) -> None:
    stage.settings.update(graceful_lease_ttl=3, graceful_rescue_interval=0.2)
    worker = stage.worker("failing", app=APP, env={"LEDGER": str(tmp_path / "none")}).wait_ready()
    ledger = Ledger(tmp_path / "items.jsonl")
    # Seeded: an item's number is not its cursor, and a replay does not begin where the run did.
    result = stage.send("crashing.failing", str(ledger.path), ITEMS, kwargs={"cursor": SEED})
    wait_for(lambda: len(ledger) > ITEMS // 3, 30, "items")
    os.kill(ledger.entries()[-1].pid, SIGKILL)
    assert result.get(timeout=60) == {"done": ITEMS - SEED - 1 - 5, "failed": 5}
    run = graceful(stage, "show", result.id)["run"]
    bad = [item["cursor"] for item in run["quarantined_items"]]
    assert bad == [100, 200, 300, 400, 500], "each once, whatever was killed"
    assert "ValueError: item 300 is broken" in run["quarantined_items"][2]["traceback"]
    number = run["quarantined_items"][2]["number"]

    assert graceful(stage, "replay", result.id)["items"] == 5
    wait_for(lambda: "has failed again" in worker.log(), 20, "a replay that fails")
    wait_for(lambda: worker.log().count("has failed again") == 5, 20, "the end of the replay")
    assert len(graceful(stage, "show", result.id)["run"]["quarantined_items"]) == 5

    Path(f"{ledger.path}.fixed").touch()
    first = graceful(stage, "replay", result.id, "-i", str(number))
    outcome = stage.app.AsyncResult(first["sent"]).get(timeout=20)
    assert outcome == {"run": result.id, "replayed": 1, "failed": 0}
    rest = graceful(stage, "replay", result.id)
    assert stage.app.AsyncResult(rest["sent"]).get(timeout=20)["replayed"] == 4
    assert graceful(stage, "show", result.id)["run"]["quarantined_items"] == []
    done = Counter(ledger.items())
    assert set(done) == set(range(SEED + 1, ITEMS))
    assert all(done[item] == 1 for item in (100, 200, 300, 400, 500))
