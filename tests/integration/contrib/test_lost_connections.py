"""After PostgreSQL has closed a connection, the next item and the next execution get another."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.harness.django_aliases import settings_of


@pytest.mark.postgres
def test_connections_that_the_server_closes(postgres_url: str) -> None:
    env = {k: v for k, v in os.environ.items() if k != "DJANGO_SETTINGS_MODULE"}
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tests.integration.contrib.lost_connections"),
            json.dumps(settings_of(postgres_url)),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        env=env,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-5000:]
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "quarantining": ["SUCCESS", [0, 1, 3, 4, 5]],
        "retried": ["SUCCESS", 2],
        "state_writer": ["written", "lost", "written"],
        "rounds": True,
    }
