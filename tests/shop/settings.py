"""The shop's settings, for a worker that is stopped and killed within seconds."""

# mypy: ignore-errors
from __future__ import annotations

import os

from shop.settings import *  # noqa: F403
from shop.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.shop.slow.Slow"]
#: How long others wait until they rescue the run of a worker that was killed; 30 s by default.
CELERY_GRACEFUL_LEASE_TTL = os.environ.get("LEASE_TTL", "2s")
