"""``make demo-django``: the example shop's import, interrupted ten times before one's eyes."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import NoReturn

from tests.harness import wait_for
from tests.harness.worker import forget_started
from tests.servers import MissingProgram, Postgres, Valkey
from tests.shop.interruptions import Interrupter, ten
from tests.shop.project import Shop, opened

#: Seconds that each batch of a hundred rows takes longer: there is something to watch.
PAUSE = "0.06"
#: Seconds that any one thing may take on a slow machine.
PATIENCE = 60.0

INTRO = """\
Airfield Prints is a small Django shop (example_project/) that sells a poster of
every airport in the world. Its import reads a table of airports, a hundred rows
at a time, and is interrupted ten times on the way.
"""
PASSED = """
PASSED: interrupted {strikes} times, and the products are those of a plain loop.

A deploy and a maintenance repeat nothing. A kill repeats the batches since the
last checkpoint, one second at most; the import may be repeated, because it is an
upsert. Its counts are exact all the same: they are saved with the cursor.

The task: example_project/products/tasks.py
Read on:  example_project/README.md, then docs/how-to/django.md
"""


class Story:
    """What is printed: lines with the seconds since the beginning, and how far the import is."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self.percent = 0

    def say(self, line: str) -> None:
        """Print a line."""
        print(f"{time.monotonic() - self._began:5.1f} s {self._bar()} {line}", flush=True)

    def _bar(self) -> str:
        done = self.percent // 10
        return f"[{'#' * done}{'.' * (10 - done)}]"


def main() -> int:
    """Show it; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.shop", description=__doc__)
    parser.add_argument("--sqlite", action="store_true", help="even if PostgreSQL is installed")
    sqlite = parser.parse_args().sqlite
    print(INTRO)
    story = Story()
    with ExitStack() as stack:
        stack.callback(forget_started)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="shop-")))
        try:
            redis_url = stack.enter_context(Valkey(appendonly=True)).fresh_url()
        except MissingProgram as missing:
            print(f"Error: {missing}", file=sys.stderr)
            return 69
        database_url = stack.enter_context(_database(story, sqlite))
        settings = {"PAUSE": PAUSE, "LEASE_TTL": "3s"}
        shop = stack.enter_context(opened(folder, redis_url, database_url, **settings))
        story.say("manage.py migrate: the tables are there")
        return _perform(shop, story)


@contextmanager
def _database(story: Story, sqlite: bool) -> Iterator[str | None]:
    try:
        server = None if sqlite else Postgres()
    except MissingProgram:
        server = None
    if server is None:
        story.say("Valkey has started; the shop uses SQLite")
        yield None
    else:
        with server:
            story.say("Valkey and PostgreSQL have started, for this demo alone")
            yield server.fresh_url()


def _perform(shop: Shop, story: Story) -> int:
    interrupter = Interrupter(shop, story.say)
    story.say(f"{interrupter.worker.name} is ready (celery -A shop worker)")
    result = shop.send("shop.import_products")
    story.say("shop.import_products begins; one task id from here to the end")
    strikes = ten(interrupter)
    total = 25_000
    for number, strike in enumerate(strikes, 1):
        before = _products(shop)
        goal = before + max(100, (total - before) // (len(strikes) - number + 2))
        wait_for(partial(_reached, shop, goal), PATIENCE, "the import makes progress")
        story.percent = 100 * _products(shop) // total
        strike()
    counts = result.get(timeout=PATIENCE)
    story.percent = 100
    story.say("The run has ended; its result reached the caller")
    print(f"\nresult      {counts['imported']:>6} imported, {counts['rejected']} without a city")
    print(shop.manage("checksum"))
    print(PASSED.format(strikes=len(strikes)))
    return 0


def _reached(shop: Shop, goal: int) -> bool:
    return _products(shop) >= goal


def _products(shop: Shop) -> int:
    return shop.number("SELECT count(*) FROM products_product")


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _leave)
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("Interrupted; all that was started has been ended.")
