"""Under Django: ``delay_on_commit`` sends after the commit, django-db has all children of a run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path


def test_tasks_of_a_django_project(tmp_path: Path) -> None:
    env = {k: v for k, v in os.environ.items() if k != "DJANGO_SETTINGS_MODULE"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.integration.tasks.django_project", f"{tmp_path}/db"],
        capture_output=True,
        text=True,
        timeout=120,
        env=env,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    seen = json.loads(done.stdout)
    assert seen["children"] == [2, 40]
    found = seen["sent"]
    assert set(found) == {"shop.shared", "shop.generator", "shop.plain", "shop.class"}
    # Tasks of Django's class; sent after a rollback, before the commit, after it.
    assert {tuple(each) for each in found.values()} == {(True, 0, 0, 2)}
