"""Owners of background processes, and a search for what they left behind."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator

import psutil
import pytest

from celery_graceful.processes.start_options import TAG
from tests.harness import wait_for
from tests.harness.family import Family
from tests.harness.forkserver import start


class Owner:
    """One ``owner.py``; all that descends from it is known by a mark."""

    def __init__(self, family: Family, way: str, child: str) -> None:
        self.family = family
        reading, writing = os.pipe()
        self.output = os.fdopen(reading, "rb")
        with os.fdopen(writing, "wb") as output:
            self.process = start(
                [sys.executable, "-m", "tests.integration.processes.owner", way, child],
                env={**os.environ, **family.mark},
                output=output,
            )
        family.root = self.process.pid

    def begun(self) -> Owner:
        """Wait until it waits for its end."""
        line = self.line()
        assert line == "begun\n", line + self.said()
        return self

    def line(self) -> str:
        """The next line that it says."""
        return self.output.readline().decode()

    def said(self) -> str:
        """All that it says until its end."""
        said = self.output.read().decode()
        self.process.wait(60)
        return said

    def left(self) -> list[psutil.Process]:
        """Processes with the mark, the owner and its forks apart."""
        found = []
        for process in psutil.process_iter():
            try:
                mine = process.environ().items() >= self.family.mark.items()
                if mine and "tests.integration.processes.owner" not in process.cmdline():
                    found.append(process)
            except (psutil.Error, OSError):
                continue
        return found

    def check_nothing_left(self, seconds: float) -> None:
        """Whatever descends from the owner is gone within so many seconds."""
        wait_for(lambda: not self.left(), seconds, lambda: str(self.left()))


@pytest.fixture
def own() -> Iterator[Callable[[str, str], Owner]]:
    family = Family()
    owners = []

    def begin(way: str, child: str) -> Owner:
        owners.append(Owner(family, way, child))
        return owners[-1]

    yield begin
    family.kill()
    for owner in owners:
        owner.process.kill()
        owner.process.wait()
        owner.output.close()


@pytest.fixture
def nothing_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """At the end no child of this process is left, and no background process that it started."""
    mark, before = Family().mark, _children()
    for name, value in mark.items():
        monkeypatch.setenv(name, value)
    yield
    wait_for(lambda: _children() <= before, 5, lambda: str(_children() - before))
    assert not [process for process in psutil.process_iter() if _descends(process, mark)]


def _children() -> set[psutil.Process]:
    return set(psutil.Process().children())


def _descends(process: psutil.Process, mark: dict[str, str]) -> bool:
    try:
        variables = process.environ()
    except (psutil.Error, OSError):
        return False
    return TAG in variables and variables.items() >= mark.items()
