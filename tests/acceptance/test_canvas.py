"""Chains, groups, chords and links around iterable tasks that three worker stops interrupt."""

from __future__ import annotations

import itertools
from signal import SIGTERM
from typing import Any

import pytest
from celery import chain, chord, group
from celery.result import AsyncResult

from tests.acceptance.scene import Scene, StartWorker, recorded_states, signatures
from tests.harness import Ledger

pytestmark = pytest.mark.slow


@pytest.fixture
def scene(broker_url: str, redis_url: str, ledger: Ledger, start_worker: StartWorker) -> Scene:
    # Runs are kept in the result backend on both brokers, so that tests find them there.
    scene = Scene("canvas", broker_url, redis_url, ledger, start_worker)
    scene.settings = {"graceful_store": redis_url}
    return scene


def line_of(result: AsyncResult[Any]) -> list[Any]:
    """A chain's results, the first task's first."""
    line: list[Any] = [result]
    while line[0].parent is not None:
        line.insert(0, line[0].parent)
    return line


@pytest.mark.brokers("rabbitmq")
def test_a_chain_goes_on_once_after_a_run_at_its_start_middle_and_end(scene: Scene) -> None:
    first = scene.worker(concurrency=4)
    with scene.producer() as app, recorded_states(scene.backend) as states:
        make = signatures(app, "canvas")
        chains = {
            112: chain(
                make("tour", 102, tag="start"), make("plus", 10), make("tell", "told-start")
            ),
            113: chain(make("plus", 1, 2), make("tour", add=110, tag="middle"), make("plus", 0)),
            114: chain(make("plus", 2, 2), make("walk", add=110, tag="end")),
            115: chain(
                make("brief", 5, tag="one"),
                make("brief", add=10, tag="two"),
                make("brief", add=100, tag="three"),
            ),
        }
        sent = {value: work.apply_async() for value, work in chains.items()}
        last = scene.relay(first, ["start", "middle", "end"], concurrency=4)
        assert {value: result.get(timeout=30) for value, result in sent.items()} == {
            value: value for value in chains
        }
        lines = [line_of(result) for result in sent.values()]
        assert [len(line) for line in lines] == [3, 3, 2, 3]
        for line in lines:
            for one, following in itertools.pairwise(line):
                assert [child.id for child in one.children or ()] == [following.id]
        last.signal(SIGTERM)
        assert last.wait() == 0  # from here on nobody writes a state
        states.check_finals({"SUCCESS"})
    for tag in ("start", "middle", "end", "one", "two", "three"):
        scene.check_items(tag)
    assert scene.ledger.counts()["told-start=112"] == 1


@pytest.mark.core
def test_groups_and_chords_count_an_interrupted_run_once(scene: Scene) -> None:
    first = scene.worker(concurrency=6)
    with scene.producer() as app, recorded_states(scene.backend) as states:
        make = signatures(app, "canvas")
        plain = group(
            make("tour", 1, tag="g1"), make("walk", 2, tag="g2"), make("plus", 3, 0)
        ).apply_async()
        header = chord(
            [make("tour", 4, tag="h1"), make("walk", 5, tag="h2"), make("plus", 6, 0)],
            make("total", tag="header"),
        ).apply_async()
        body = chord(
            [make("plus", 1, 1), make("plus", 2, 2)], make("tour", add=10, tag="body")
        ).apply_async()
        piped = (
            group(make("tour", 7, tag="p1"), make("plus", 8, 0))
            | make("total", tag="piped")
            | make("plus", 100)
        ).apply_async()
        tags = ["g1", "g2", "h1", "h2", "body", "p1"]
        last = scene.relay(first, tags, concurrency=6)
        assert plain.get(timeout=30) == [1, 2, 3]
        assert header.get(timeout=30) == 15
        assert body.get(timeout=30) == 16
        assert piped.get(timeout=30) == 115
        last.signal(SIGTERM)
        assert last.wait() == 0
        states.check_finals({"SUCCESS"})
    for tag in tags:
        scene.check_items(tag)
    counts = scene.ledger.counts()
    assert counts["header=[4, 5, 6]"] == 1
    assert counts["piped=[7, 8]"] == 1


def test_a_chord_of_runs_that_give_their_slot_back_often(scene: Scene) -> None:
    scene.worker(concurrency=2)
    with scene.producer() as app, recorded_states(scene.backend) as states:
        make = signatures(app, "canvas")
        whole = (
            chord(
                [make("brief", value, tag=f"part{value}") for value in range(3)],
                make("brief", add=10, tag="sum"),
            )
            | make("tell", "told")
        ).apply_async()
        assert whole.get(timeout=40) == 13
        states.check_finals({"SUCCESS"})
    for tag in ("part0", "part1", "part2", "sum"):
        scene.check_items(tag)
    assert scene.ledger.counts()["told=13"] == 1


@pytest.mark.core
def test_link_and_link_error_fire_once_with_the_final_outcome(scene: Scene) -> None:
    first = scene.worker(concurrency=3)
    with scene.producer() as app, recorded_states(scene.backend) as states:
        make = signatures(app, "canvas")

        def send(tag: str, name: str = "tour", **kwargs: Any) -> AsyncResult[Any]:
            result: AsyncResult[Any] = make(name, 5, tag=tag, **kwargs).apply_async(
                link=[make("tell", f"{tag}-link"), make("plus", 1)],
                link_error=[make("tell_error", f"{tag}-error")],
            )
            return result

        good, walked, bad = send("good"), send("walked", "walk"), send("bad", fail=True)
        last = scene.relay(first, ["good", "walked", "bad"], concurrency=3)
        assert good.get(timeout=30) == 5
        assert walked.get(timeout=30) == 5
        with pytest.raises(ValueError, match="bad fails at its end"):
            bad.get(timeout=30)
        for result in (good, walked):
            called: Any  # the links' results, as a group
            (called,) = result.children or []
            assert called.get(timeout=30) == [5, 6]
        assert not bad.children
        last.signal(SIGTERM)
        assert last.wait() == 0
        states.check_finals({"SUCCESS", "FAILURE"})
        assert [result.state for result in (good, walked, bad)] == ["SUCCESS", "SUCCESS", "FAILURE"]
    for tag in ("good", "walked", "bad"):
        scene.check_items(tag)
    told = {item: n for item, n in scene.ledger.counts().items() if "-" in item}
    assert told == {"good-link=5": 1, "walked-link=5": 1, "bad-error=bad fails at its end": 1}
