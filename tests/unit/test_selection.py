"""The selection of tests that runs without ``--all``."""

from __future__ import annotations

import subprocess
import sys
from itertools import combinations, product
from pathlib import Path

import pytest

from tests.harness.worker import ROOT
from tests.selection import covering, pairwise, rows

TESTS = """
import pytest

def test_plain(): ...

@pytest.mark.matrix
def test_of_the_matrix(): ...

@pytest.fixture(params=["redis", "rabbitmq"])
def broker_url(request): return request.param

def test_on_redis(broker_url): ...

@pytest.mark.brokers("redis", "rabbitmq")
def test_on_both(broker_url): ...

@pytest.mark.parametrize("n", [1, pytest.param(2, marks=pytest.mark.matrix)])
@pytest.mark.brokers("rabbitmq")
def test_on_rabbitmq(broker_url, n): ...
"""
CONFTEST = """
import pytest
from tests.selection import add_option as pytest_addoption
from tests.selection import deselect

@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items): deselect(config, items)
"""
PLAIN = ["test_plain", "test_on_redis[redis]"]
BOTH = ["test_on_both[redis]", "test_on_both[rabbitmq]"]


def collected(folder: Path, *arguments: str) -> list[str]:
    """The names of the tests that pytest selects in a folder with TESTS."""
    (folder / "test_some.py").write_text(TESTS)
    (folder / "conftest.py").write_text(CONFTEST)
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:valkey"]
    found = subprocess.run(
        [*command, "-p", "no:graceful", "--rootdir", str(folder), *arguments],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )
    return [line.partition("::")[2] for line in found.stdout.splitlines() if "::" in line]


def test_one_broker_and_no_matrix(tmp_path: Path) -> None:
    assert collected(tmp_path) == [*PLAIN, *BOTH, "test_on_rabbitmq[rabbitmq-1]"]


def test_all_runs_everything(tmp_path: Path) -> None:
    assert len(collected(tmp_path, "--all")) == 10


def test_brokers_imply_the_marker_of_their_program(tmp_path: Path) -> None:
    found = collected(tmp_path, "-m", "rabbitmq")
    assert found == ["test_on_both[rabbitmq]", "test_on_rabbitmq[rabbitmq-1]"]


def test_what_is_named_runs(tmp_path: Path) -> None:
    named = ["test_of_the_matrix", "test_on_redis[rabbitmq]"]
    assert collected(tmp_path, *(f"test_some.py::{name}" for name in named)) == named
    assert len(collected(tmp_path, "test_some.py::test_on_rabbitmq")) == 4
    assert len(collected(tmp_path, f"{tmp_path}/test_some.py::test_on_rabbitmq[redis-2]")) == 1


@pytest.mark.parametrize("sizes", [(3,), (2, 3), (4, 4, 2), (3, 2, 2, 2)])
def test_covering_has_every_pair(sizes: tuple[int, ...]) -> None:
    axes = [[str(n) for n in range(size)] for size in sizes]
    chosen = covering(axes)
    for (i, some), (j, others) in combinations(enumerate(axes), 2):
        assert {(row[i], row[j]) for row in chosen} == set(product(some, others))
    assert len(chosen) < len(list(product(*axes))) or len(sizes) < 3


def test_pairwise_keeps_all_combinations() -> None:
    found = pairwise(stop=["term", pytest.param(3, id="quit")], pool=["a", "b"], broker=["x", "y"])
    assert [row.id for row in found][:3] == ["term-a-x", "term-a-y", "term-b-x"]
    assert len(found) == 8
    assert found[-1].values == (3, "b", "y")
    kept = [row for row in found if row.marks[-1].name != "matrix"]
    assert len(kept) == 4


def test_rows_keep_the_rest_for_the_matrix() -> None:
    chosen, rest = rows([("redis", 1)], [("rabbitmq", 2)])
    assert (chosen.values, rest.values) == (("redis", 1), ("rabbitmq", 2))
    assert [mark.name for mark in (*chosen.marks, *rest.marks)] == ["brokers", "matrix"]
