"""Random lives over the store in memory: see :mod:`tests.lives`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lives.life import Life
from tests.lives.living import PATIENCE, live
from tests.lives.places import MemoryPlace, Place
from tests.lives.project import Project
from tests.lives.races import Races


@pytest.fixture
def project() -> Iterator[Project]:
    project = Project()
    yield project
    project.close()


@pytest.mark.timeout(PATIENCE)
def test_lives(project: Project) -> None:
    class InMemory(Life):
        def place(self) -> Place:
            return MemoryPlace()

    InMemory.project = project
    live(InMemory, lives=200, steps=40)


@pytest.mark.timeout(PATIENCE)
def test_races(project: Project) -> None:
    class InMemory(Races):
        def place(self) -> Place:
            return MemoryPlace()

    InMemory.project = project
    live(InMemory, lives=150, steps=30)
