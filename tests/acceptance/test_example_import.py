"""The example shop's import, interrupted ten times: the products are those of a plain loop."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness import wait_for
from tests.harness.worker import ROOT
from tests.shop.interruptions import Interrupter, ten
from tests.shop.project import Shop, opened

pytestmark = pytest.mark.slow

#: Seconds that a batch of a hundred rows takes longer until the last interruption.
PAUSE = "0.15"


def interrupted_ten_times(shop: Shop) -> None:
    """Import, interrupted by SIGTERM, SIGKILL and maintenance; compare with a plain loop."""
    story: list[str] = []
    interrupter = Interrupter(shop, story.append)
    result = shop.send("shop.import_products")
    strikes = ten(interrupter)
    for strike in strikes:
        wait_for(some_more_of(shop), 60, lambda: "\n".join(story))
        assert result.state not in ("SUCCESS", "FAILURE"), "it ended before it was interrupted"
        strike()
    shop.hurry()
    counts = result.get(timeout=60)
    plain, found = shop.manage("checksum").splitlines()  # fails if they differ
    assert plain.split()[2:] == found.split()[1:]
    assert counts["imported"] == products(shop)
    assert counts["rejected"] > 0  # each row counted once, whatever was repeated
    logs = "".join(worker.log() for worker in shop.workers)
    assert logs.count("resumes after cursor") >= len(strikes) - 1


def products(shop: Shop) -> int:
    return shop.number("SELECT count(*) FROM products_product")


def some_more_of(shop: Shop) -> Callable[[], bool]:
    before = products(shop)
    return lambda: products(shop) > before


@pytest.mark.postgres
def test_on_postgresql(tmp_path: Path, redis_url: str, postgres_url: str) -> None:
    with opened(tmp_path, redis_url, postgres_url, PAUSE=PAUSE) as shop:
        interrupted_ten_times(shop)


@pytest.mark.matrix
def test_the_demo_shows_it_on_sqlite(tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "tests.shop", "--sqlite"],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "PASSED: interrupted 10 times" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert list(temporary.iterdir()) == []
