"""The same random lives over real stores: see :mod:`tests.lives`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count

import pytest
import redis
from sqlalchemy import create_engine

from tests.integration.stores.test_corrupt import Open
from tests.lives.life import Life
from tests.lives.living import PATIENCE, live
from tests.lives.places import Place, RedisPlace, SqlPlace
from tests.lives.project import Project

pytestmark = [pytest.mark.slow, pytest.mark.timeout(PATIENCE)]

#: Makes a place in the namespace given.
MakePlace = Callable[[str], Place]


@pytest.fixture
def project() -> Iterator[Project]:
    project = Project()
    yield project
    project.close()


@pytest.fixture
def make_place(plain_url: str, opener: Open) -> Iterator[MakePlace]:
    with ExitStack() as stack:
        if plain_url.startswith("redis"):
            client = stack.enter_context(redis.Redis.from_url(plain_url))
            yield lambda name: RedisPlace(opener(plain_url, name), client, name)
        else:
            engine = create_engine(plain_url)
            stack.callback(engine.dispose)
            yield lambda name: SqlPlace(opener(plain_url, name), engine, name)


def test_lives(project: Project, make_place: MakePlace) -> None:
    opened: list[Place] = []
    names = (f"life-{number}" for number in count())

    class Somewhere(Life):
        def place(self) -> Place:
            while opened:
                opened.pop().store.close()
            opened.append(make_place(next(names)))
            return opened[-1]

    Somewhere.project = project
    live(Somewhere, lives=20, steps=30)
