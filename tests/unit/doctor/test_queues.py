"""Which queues a worker may consume, as far as its command line tells."""

from __future__ import annotations

import pytest

from celery_graceful.doctor.commands.search import parse_words
from celery_graceful.doctor.examine import examine
from celery_graceful.doctor.facts import AppFacts, Kind, TaskFacts
from celery_graceful.doctor.readers import read_text
from tests.unit.doctor import sound

DEFAULT = frozenset({"celery"})


@pytest.mark.parametrize(
    ("options", "consumed", "others"),
    [
        ("", "celery", "a"),
        ("-Q a,b", "a b", "celery"),
        ("-Q $QUEUES", "a celery", ""),
        ("-Q a,${MORE}", "a b", ""),
        ("--queues=%(ENV_QUEUES)s", "a b", ""),
        ("-Q {{queues}}", "a b", ""),
        ("-Q %i", "a b", ""),
        ("-X celery", "", "celery a"),
        ("-Q a,b -X b", "a", "b"),
        ("-X $SOME", "celery", "a"),
    ],
)
def test_queues(options: str, consumed: str, others: str) -> None:
    command = parse_words(f"celery -A shop worker {options}".split())
    for queue in consumed.split():
        assert command.may_consume(queue, DEFAULT), queue
    for queue in others.split():
        assert not command.may_consume(queue, DEFAULT), queue


@pytest.mark.parametrize(
    ("line", "each"),
    [
        ("w1 w2 -Q:w1 a", [{"a"}, None]),
        ("w1@h w2@h -Q:w1 a -Q b", [{"a"}, {"b"}]),
        ("3 -Q:1-2 a -Q:3 b", [{"a"}, {"a"}, {"b"}]),
        ("w1 w2 -Q:1,2 a", [{"a"}, {"a"}]),
        ("$NODES -Q:w1 a", [None, {"a"}]),
    ],
)
def test_queues_of_each_node_of_multi(line: str, each: list[set[str] | None]) -> None:
    command = parse_words(f"celery multi start {line} -A shop".split())
    assert [q.named if q.named is None else set(q.named) for q in command.queues] == each


ROUTED = AppFacts(
    name="shop",
    broker="redis",
    tasks=(TaskFacts("shop.mail", Kind.PLAIN, "mail", time_limit=600),),
)


@pytest.mark.parametrize(("option", "found"), [("-Q $QUEUES", True), ("-Q other", False)])
def test_a_variable_hides_no_error(option: str, found: bool) -> None:
    text = sound.UNIT.replace("--loglevel=INFO", option)
    findings = examine(ROUTED, [read_text(text, "w.service")]).findings
    assert ("GD105" in {each.id for each in findings}) is found
