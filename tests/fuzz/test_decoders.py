"""Each decoder for a few seconds: what is no valid input is refused, in no time.

``GRACEFUL_FUZZ_SECONDS`` says how long each one takes (``make fuzz`` takes a minute each), and
``GRACEFUL_FUZZ_SEED`` repeats a run. What fails is told with its input: keep that in ``CASES``.
"""

from __future__ import annotations

import base64
import logging
import os
import random
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from tests.fuzz.mutate import HOSTILE_TEXTS, Mutator
from tests.fuzz.target import Target
from tests.fuzz.targets import TARGETS

SECONDS = float(os.environ.get("GRACEFUL_FUZZ_SECONDS", "10"))
SEED = int(os.environ.get("GRACEFUL_FUZZ_SEED", "0")) or random.SystemRandom().randrange(2**32)
#: Inputs that failed once: the decoder's name, and the input.
CASES: list[tuple[str, Any]] = [
    ("manifest", ("Procfile", "# p\ud800oce the shop")),
    ("manifest", ("Procfile", "worker: " + "1" * 3900)),
    ("manifest", ("Procfile", "worker: " + "$(" * 1900)),
    ("manifest", ("Dockerfile", "FROM a\nENV " + "a" * 3900)),
    ("manifest", ("supervisord.conf", "[program:a]\nenvironment=" + "a" * 3900)),
    ("manifest", ("supervisord.conf", "[program:a]\ncommand=celery worker\nnumprocs=21e400")),
    ("manifest", ("compose.yaml", "services: {a: {command: celery worker, scale: .inf}}")),
    ("shell", "run() { a;\n" + "if b; then\n run celery -A a worker\n" * 40),
    ("shell", "".join(f"f{i}() {{ f{i + 1}; f{i + 1}; }}\n" for i in range(200)) + "f0\n"),
    ("shell", " ".join(f"w{i}" for i in range(9000))),
    ("shell", 'eval "celery a\n")\ndone\n' * 40),
    ("shell", 'eval "celery x\n")\ndone\neval "celery y' * 30),
    ("record", '{"format":1,"started_at":1' + "0" * 400 + "}"),
    ("cursor", '{"cursor":1,"carry":{},"steps":1,"total":1,"pace":[[1,1' + "0" * 400 + "]]}"),
    ("message", '{"headers":' + "[" * 200_000 + "\n"),
    ("mode", '{"schema":1,"holds":[],"ramp":[1],"parked":false,"log":[]}'),
    ("position of a page", base64.urlsafe_b64encode(b"[" * 100_000).decode()),
    (
        "position of a page",
        base64.urlsafe_b64encode(b"[1" + b"0" * 400 + b",null,[],null,null]").decode(),
    ),
    ("beat's entries", '{"schema":1,"owed":{"a":1e400},"mark":""}'),
]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """What is told of each input is not kept."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


def cost(target: Target, given: Any) -> float:
    """The processor time of a call; raises what is not documented."""
    began = time.thread_time()
    with suppress(*target.refuses):
        target.call(given)
    return time.thread_time() - began


def check(name: str, given: Any) -> None:
    __tracebackhide__ = True  # its locals are the input
    target = TARGETS[name]
    try:
        # The best of a few: a collection of garbage is not the decoder's.
        slow = all(cost(target, given) > target.most for _ in range(3))
    except Exception as exc:
        error = ascii(exc)[:500]
    else:
        error = f"took over {target.most} s" if slow else ""
    # In ASCII, and not as its cause: a report with surrogates in it ends the test run.
    assert not error, f"{name}: {error} for {ascii(given)[:2000]}, GRACEFUL_FUZZ_SEED={SEED}"


@pytest.mark.timeout(SECONDS * 4 + 120)
@pytest.mark.parametrize("name", TARGETS)
def test_changed_inputs(name: str) -> None:
    mutator = Mutator(SEED, TARGETS[name].longest)
    until, calls = time.monotonic() + SECONDS, 0
    while time.monotonic() < until:
        check(name, TARGETS[name].input(mutator))
        calls += 1
    print(f"{name}: {calls} inputs, seed {SEED}")
    assert calls > 0


@pytest.mark.parametrize("text", HOSTILE_TEXTS.values(), ids=HOSTILE_TEXTS.keys())
@pytest.mark.parametrize("name", [name for name, target in TARGETS.items() if target.samples])
def test_hostile_texts(name: str, text: str) -> None:
    check(name, text)


@pytest.mark.parametrize("name", TARGETS)
def test_samples_are_read(name: str) -> None:
    for sample in TARGETS[name].samples:
        TARGETS[name].call(sample)


@pytest.mark.parametrize(("name", "given"), CASES)
def test_what_failed_once(name: str, given: Any) -> None:
    check(name, given)
