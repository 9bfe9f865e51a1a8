"""Every log call of the package, with the worst that its arguments may be."""

from __future__ import annotations

import ast
import logging
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from celery import Celery

import celery_graceful
from celery_graceful.errors import RunRefused
from celery_graceful.model.run import events as ev
from celery_graceful.model.run.cursor import Checkpoint, encode
from celery_graceful.model.run.record import Outcome, RunKey, State
from celery_graceful.model.run.verbs import Verb
from celery_graceful.runs.lookup import Found
from celery_graceful.runs.lost.vanished import warn_begun
from celery_graceful.runs.operating.changes import Asked
from celery_graceful.runs.operating.doing import do
from celery_graceful.runs.ticket import Ticket
from celery_graceful.runs.transition import transition
from celery_graceful.runtime import Runtime, runtime_of
from celery_graceful.text.log_lines import NAMES
from tests.unit.hostile.records import entry_of, make_app, put, record_of
from tests.unit.hostile.texts import TEXTS, UNSAFE

PACKAGE = Path(celery_graceful.__file__).parent
LEVELS = ("debug", "info", "warning", "error", "exception", "critical", "log")
#: All of them at once, as an argument of a line may be.
HOSTILE = "".join(text[:300] for text in TEXTS.values())
MEGABYTE = TEXTS["megabyte"]
#: Where a line's text is one of several that are written in the same file.
COMPUTED = {
    "execution/leaving/ways_out.py",
    "execution/loop/pacing.py",
    "worker/maintenance/mode_watch.py",
    "worker/rounds.py",
}
FORMATTER = logging.Formatter("[%(asctime)s: %(levelname)s/%(processName)s] %(message)s")
_PLACE = re.compile(r"%(?:\((\w+)\))?[-+ #0]*[\d*]*(?:\.\d+)?([a-zA-Z%])")


class LogCall(NamedTuple):
    """One call of a logger."""

    where: str
    #: The texts that the line may be made of; ``None``: it is computed.
    formats: tuple[str, ...] | None
    #: Whether anything is put into it.
    has_arguments: bool


def log_calls() -> Iterator[LogCall]:
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                called = node.func
                of = called.value
                if called.attr in LEVELS and isinstance(of, ast.Name) and "log" in of.id.lower():
                    given = node.args[called.attr == "log" :]
                    formats = _texts(given[0]) if given else None
                    where = f"{path.relative_to(PACKAGE)}:{node.lineno}"
                    yield LogCall(where, formats, len(given) > 1)


def _texts(node: ast.expr) -> tuple[str, ...] | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return (node.value,)
    if isinstance(node, ast.IfExp):
        both = _texts(node.body), _texts(node.orelse)
        return None if None in both else (*(both[0] or ()), *(both[1] or ()))
    return None


CALLS = list(log_calls())


def shown(text: str, args: Any, error: BaseException | None = None) -> str:
    """The line as a handler writes it."""
    logger = logging.getLogger("celery_graceful.runs")
    info = None if error is None else (type(error), error, error.__traceback__)
    record = logger.makeRecord(logger.name, logging.ERROR, __file__, 1, text, args, info)
    assert logger.filter(record)
    return FORMATTER.format(record)


def check(line: str, own: str = "") -> None:
    """It does nothing, and none of its lines passes for another one of the log.

    Args:
        line: as it is written.
        own: what is written in the code may have lines of its own.
    """
    assert not UNSAFE.search(line), ascii(UNSAFE.search(line))
    others = [other for other in line.split("\n")[1:] if not other.startswith(" ")]
    expected = {text[:20] for text in own.split("\n")[1:]} | {"Traceback (most recent"[:20]}
    assert not [other for other in others if other[:20] not in expected], others[:3]


def test_there_are_many() -> None:
    assert len(CALLS) > 150


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.where)
def test_whatever_a_line_is_given(call: LogCall) -> None:
    if call.formats is None:
        # Without arguments a text is taken for lines of others, all of it.
        assert not call.has_arguments or call.where.split(":")[0] in COMPUTED, call.where
        return
    for text in call.formats:
        places = [kind for _, kind in _PLACE.findall(text) if kind != "%"]
        for given in (HOSTILE, ValueError(HOSTILE)):
            args = tuple(given if kind in "sra" else 5 for kind in places)
            line = shown(text, args)
            check(line, text)
            assert len(line) < 500_000


@pytest.mark.parametrize("text", [HOSTILE, MEGABYTE], ids=["hostile", "a megabyte"])
def test_other_ways_to_log(text: str) -> None:
    check(shown("%s and %r", (text, text)))
    check(shown("%(a)s", ({"a": text},)))
    check(shown(text, ()))
    check(shown(ValueError(text), ()))  # type: ignore[arg-type]


def _raised(text: str) -> BaseException:
    try:
        try:
            raise KeyError(text)
        except KeyError as exc:
            raise ValueError(f"redis://u:hunter2@h/0 {text}") from exc
    except ValueError as exc:
        return exc


def test_a_traceback() -> None:
    line = shown("%s failed", ("it",), _raised(HOSTILE))
    check(line)
    assert "hunter2" not in line
    assert "test_log_lines.py" in line
    assert "The above exception was the direct cause" in line


# -- what really is logged -----------------------------------------------------------------------


@pytest.fixture
def app() -> Iterator[Celery]:
    app = make_app()
    yield app
    app.close()


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """What the package logs in a test, as a handler writes it; judged at its end."""
    for name in NAMES:
        caplog.set_level(logging.DEBUG, logger=name)
    made: list[str] = []
    yield made
    made += [FORMATTER.format(each) for each in caplog.get_records("call") if each.name in NAMES]
    for line in made:
        check(line)
    assert made, "nothing was logged"


@pytest.mark.usefixtures("lines")
def test_verbs_admission_and_leaving(app: Celery) -> None:
    runtime = runtime_of(app)
    for number, text in enumerate(TEXTS.values()):
        text = text[:5000]
        _operated(runtime, text, number)
        _owned(runtime, text, number)


def _operated(runtime: Runtime, text: str, number: int) -> None:
    for state in State:
        key = RunKey(text or "task", f"{text}-{number}-{state}")
        put(runtime, key, record_of(text, state))
        fence = 7
        runtime.store.quarantine(key, fence, 1, entry_of(text), keep=60.0)
        for verb in (*Verb, Verb.DELETE):
            at = runtime.store.load(key)
            if at.record is None:
                break
            given: dict[str, Any] = {"cursor": text} if verb is Verb.REWIND else {}
            given = {"queue": "q", "batch_size": 5} if verb is Verb.ADJUST else given
            asked = Asked(verb, text or "ann", text, "", given)
            with suppress(RunRefused, ValueError, LookupError):
                do(runtime, Found(key, at.record, at.now), asked)


def _owned(runtime: Runtime, text: str, number: int) -> None:
    """A run that vanishes, fails, leaves; whoever looks at it has a name of others."""
    key, worker = RunKey(text or "task", f"own-{text}-{number}"), f"{text}@host/1"
    place = encode(Checkpoint(cursor=text, steps=4))
    message = ev.Admit(3, worker, True, checkpoint=place, envelope=b"x", at=1.0, fresh_fence=9)
    done = transition(runtime.store, key, message, runtime.policy)
    assert done.record is not None
    ticket = Ticket(runtime, key, done.record, worker)
    rows: Any = runtime.store
    rows._rows.pop(key)
    ticket.flush(place, 4)  # written back, with a warning
    ticket.quarantine(1, "no JSON " + text)
    ticket.wait(place, 5, text, 1.0)
    warn_begun(key, done.record)
    ticket.end(Outcome.FAILED, place, 5)
