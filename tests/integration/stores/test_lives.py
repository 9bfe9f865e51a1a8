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
from tests.lives.races import Races

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


class Places:
    """An empty place for each life; the one before is closed."""

    def __init__(self, make_place: MakePlace) -> None:
        self._make_place = make_place
        self._opened: list[Place] = []
        self._names = (f"life-{number}" for number in count())

    def next(self) -> Place:
        while self._opened:
            self._opened.pop().store.close()
        self._opened.append(self._make_place(next(self._names)))
        return self._opened[-1]


def test_lives(project: Project, make_place: MakePlace) -> None:
    places = Places(make_place)

    class Somewhere(Life):
        def place(self) -> Place:
            return places.next()

    Somewhere.project = project
    live(Somewhere, lives=20, steps=30)


@pytest.mark.parametrize(
    ("lives", "steps"), [(5, 15), pytest.param(100, 30, marks=pytest.mark.matrix)]
)
def test_races(project: Project, make_place: MakePlace, lives: int, steps: int) -> None:
    places = Places(make_place)

    class Somewhere(Races):
        def place(self) -> Place:
            return places.next()

    Somewhere.project = project
    live(Somewhere, lives=lives, steps=steps)
