"""Items, checkpoint and results in one SQLite file: the end of a run does not wait for itself."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


def test_a_progress_on_its_way_does_not_keep_the_last_batch_open(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.integration.atomic.one_sqlite_file", f"{tmp_path}/db"],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (seconds, state), (failed_in, failed), rows = json.loads(done.stdout)
    assert (state, failed) == ("SUCCESS", "FAILURE")
    assert 12 <= rows < 24  # the batch that was open when the item failed is rolled back
    # A write that is locked out tries again for 40 s.
    assert max(seconds, failed_in) < 10
