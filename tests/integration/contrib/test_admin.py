"""Celery runs in the Django admin."""

from __future__ import annotations

import subprocess
import sys


def test_the_screen_in_the_admin() -> None:
    """Its cases run in a process of their own, since Django is configured once in each."""
    words = (sys.executable, "-m", "tests.integration.contrib.admin_site")
    done = subprocess.run(words, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-20_000:]
