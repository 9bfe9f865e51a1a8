"""Random lives over the store in memory: see :mod:`tests.lives`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.lives.life import Life
from tests.lives.places import MemoryPlace, Place
from tests.lives.project import Project


@pytest.fixture
def project() -> Iterator[Project]:
    project = Project()
    yield project
    project.close()


def test_lives(project: Project) -> None:
    class InMemory(Life):
        def place(self) -> Place:
            return MemoryPlace()

    InMemory.project = project
    run_state_machine_as_test(
        InMemory,
        settings=settings(
            max_examples=200,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
