"""The decoders of everything that others may have written, with valid samples of each."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from celery_graceful._celery.message.envelope import Envelope, pack, unpack
from celery_graceful._celery.message.headers import (
    CHECKPOINT,
    GENERATION,
    HOME,
    MOST_GENERATIONS,
    generation_of,
    sent_home,
)
from celery_graceful.doctor.commands.search import workers_in_script, workers_in_text
from celery_graceful.doctor.commands.shell_syntax import UnreadableShell
from celery_graceful.doctor.commands.shell_text import ScriptFile
from celery_graceful.doctor.examine import examine
from celery_graceful.doctor.facts.running_workers import from_answer
from celery_graceful.doctor.readers import read_text
from celery_graceful.errors import CorruptRecord, CursorError
from celery_graceful.maintenance.beat.owed import decode_owed
from celery_graceful.maintenance.workers import Busy, Report, decode_report, encode_report
from celery_graceful.model.maintenance.held import slots_allowed
from celery_graceful.model.maintenance.mode import (
    EVERYTHING,
    Kind,
    Mode,
    Scope,
    hold_scopes,
    release_scopes,
)
from celery_graceful.model.maintenance.mode_text import decode_mode, encode_mode
from celery_graceful.model.run.cursor import Checkpoint, decode, encode
from celery_graceful.model.run.record import Outcome, Record, RunKey, State
from celery_graceful.processes.registry import decode_entry
from celery_graceful.runs import quarantined_items
from celery_graceful.stop import flag
from celery_graceful.stores.codec import Unreadable, extra_of, record_of
from celery_graceful.stores.redis.encoding import fields_of
from celery_graceful.worker.maintenance import remote
from celery_graceful.worker.parking.unparking import read_claim
from tests.fuzz.mutate import Mutator
from tests.fuzz.past_targets import PAST_TARGETS
from tests.fuzz.screen_targets import SCREEN_TARGETS
from tests.fuzz.target import Target, bytes_of
from tests.unit.doctor.planted import FILES
from tests.unit.doctor.sound import APP

# -- records -----------------------------------------------------------------------------------

RECORD = Record(
    State.FINISHING,
    generation=3,
    fence=5,
    owner="w@host/1",
    due_at=2000.5,
    checkpoint="c",
    steps=7,
    outcome=Outcome.COMPLETED,
    result="r",
    last_crash="signal 9",
    options='{"once":"k","pause_after":3}',
    paused_at=3,
    seconds=1.5,
    kept_for=60.0,
    started_at=1700000000.5,
    stamp="ab12",
    version=9,
)
FIELDS = ("v", "s", "f", "o", "d", "c", "n", "q", "r", "e", "m", "x")


def stored() -> dict[str, str]:
    flat = fields_of(RECORD)
    given = {k.decode(): v.decode() for k, v in zip(flat[::2], flat[1::2], strict=True)}
    return {"v": "9", "d": "2000.5", "x": "1999.0", "q": "pause", **given}


def record_summary(text: str) -> object:
    return record_of(hash_of({**stored(), "m": text}))


def hash_of(flat: dict[str, str]) -> list[bytes | None]:
    return [bytes_of(flat[name]) if name in flat else None for name in FIELDS]


def changed_hash(mutator: Mutator) -> dict[str, str]:
    flat = stored()
    for _ in range(mutator.pick([1, 1, 2])):
        name = mutator.pick(list(flat))
        odd = ["nan", "inf", "-1", "1e400", "9" * 30, "9" * 5000, "\u0661", " 1", "1_0", "", "0x1"]
        flat[name] = mutator.pick([mutator.pick(odd), mutator.text([flat[name]])])
    if mutator.pick([True, False, False]):
        del flat[mutator.pick(list(flat))]
    return flat


# -- checkpoints, modes, reports ---------------------------------------------------------------

MOMENT = datetime(2025, 1, 1, tzinfo=timezone.utc)
CHECKPOINTS = [
    encode(Checkpoint(5, {"sum": 1, "é": (1, [2.5, None])}, 5, 10, 6, 1, ((3, 4),), 2)),
    encode(
        Checkpoint(
            (
                UUID(int=1),
                Decimal("1.5"),
                datetime(2025, 1, 1, tzinfo=timezone.utc),
                date(2025, 1, 1),
            ),
            {"b": b"x", "t": timedelta(1, 2, 3), "d": {1: 2}},
        )
    ),
]
DOWN = hold_scopes(Mode(), [EVERYTHING, Scope(Kind.TASK, "a.*")], now=100.0, who="ann", until=200.0)
MODES = [encode_mode(DOWN), encode_mode(release_scopes(DOWN, [], now=110.0, who="ann", ramp=60.0))]


def read_mode(text: str) -> None:
    """What a worker makes of it: all that is read has to be usable."""
    mode = decode_mode(text, 3)
    slots_allowed(mode.ramp, 120.0, 8, 1, 3)
    encode_mode(mode).encode("utf-8", "surrogatepass")

    str(mode)


REPORT = Report(
    "w@host", 5, "prefork", 8, ("celery",), ("mail",), 3, busy=(Busy("a", "1", "q", 0.5, True),),
    busy_count=1, longest={"a": 1.5},
)  # fmt: skip


# -- messages ----------------------------------------------------------------------------------

ENVELOPE = Envelope(
    b"[[], {}, {}]", "application/json", "utf-8", {"id": "1", "task": "a", GENERATION: 2},
    {"priority": 3, "correlation_id": "1"}, "", "celery", "redis://h:1/0",
)  # fmt: skip
PACKED = pack(ENVELOPE).decode()
PACKED_BY_KOMBU = pack(Envelope(b"x", "a/b", "utf-8", {"eta": MOMENT}, {}, "", "q", "b")).decode()
HEADERS = (GENERATION, CHECKPOINT, HOME, "id", "task", "eta")


def headers(mutator: Mutator) -> dict[str, Any]:
    home = [mutator.pick(["", "x", mutator.value()]) for _ in range(mutator.pick([2, 3, 3, 4]))]
    made = {name: mutator.value() for name in HEADERS}
    return {**made, HOME: mutator.pick([home, mutator.value()])}


def read_headers(given: dict[str, Any]) -> None:
    generation = generation_of(given)
    assert type(generation) is int
    assert 0 <= generation <= MOST_GENERATIONS
    home = sent_home(given)
    assert all(
        home[name] is None or isinstance(home[name], str) for name in home if "i" not in name
    )


def control_message(mutator: Mutator) -> dict[str, Any]:
    said = {"namespace": "shop", "version": 3, "text": MODES[0]}
    name = mutator.pick([*said, "more"])
    return {**said, name: mutator.pick([mutator.value(), mutator.text(MODES)])}


def ask_workers(message: dict[str, Any]) -> None:
    learned: list[Mode] = []
    maintenance = SimpleNamespace(
        runtime=SimpleNamespace(namespace="shop"), watch=SimpleNamespace(learn=learned.append)
    )
    controller = SimpleNamespace(graceful_maintenance=maintenance)
    state = SimpleNamespace(consumer=SimpleNamespace(controller=controller))
    remote.graceful_maintenance(state, **message)
    assert all(type(mode.version) is int and 0 < mode.version < 2**54 for mode in learned)


def answer(mutator: Mutator) -> dict[str, Any]:
    sound = {"hostname": "w@h", "slots": 2, "queues": ["a"], "grace": 5.0, "settings": {"a": "b"}}
    name = mutator.pick([*sound, "forced", "margin", "prefetch"])
    return {"vitals": mutator.pick([{**sound, name: mutator.value()}] * 9 + [mutator.value()])}


# -- the rest ----------------------------------------------------------------------------------

ENTRY = json.dumps(
    {"tag": "a1", "command": "sleep 5", "owner": 12, "task": "a", "task_id": "1", "since": 5.0,
     "stop_signal": 15, "grace": 5.0}
)  # fmt: skip
ASIDE = json.dumps(
    {"before": CHECKPOINTS[0], "cursor": CHECKPOINTS[0], "item": "i", "error": "e",
     "traceback": "t", "at": 5.0}
)  # fmt: skip


def claimed(text: str) -> None:
    read_claim(SimpleNamespace(version=1, text=text, now=100.0), "claim")  # type: ignore[arg-type]


def manifest(mutator: Mutator) -> tuple[str, str]:
    file = mutator.pick(list(FILES))
    return file, mutator.text([FILES[file]])[:4000]


def read_manifest(given: tuple[str, str]) -> None:
    file, text = given
    for finding in examine(APP, [read_text(text, file)]).findings:
        assert finding.what


SCRIPTS = [
    '#!/bin/bash\nset -e\ncase "$1" in\n  worker) exec celery -A shop worker "${@:2}" ;;\n'
    '  *) exec "$@" ;;\nesac\n',
    'run() { local a=b; "$@" & wait; }\nif [ "$ROLE" = web ]; then\n  gunicorn\nelse\n'
    "  run celery -A ${APP:-shop} worker -c $(nproc) >>log 2>&1 | tee x\nfi\n",
    "trap 'kill $!' TERM\ncat <<EOF >a\ncelery worker\nEOF\nfor i in 1 2; do\n"
    '  (su x -c "nice celery -A shop worker -n w$i@%h")\ndone\neval "celery worker"\n',
]


def read_shell(text: str) -> None:
    """Behind ``sh -c``, or as a script that is called in one of three ways."""
    calls = [None, ["worker", "-c", text[:9]], ["celery", "-A", "a", "worker"]]
    way = len(text) % 4
    if way == 3:
        found = workers_in_text(text, variables={"ROLE": "web", "APP": text[:20]})
        assert all(worker.text == text for worker in found)
    else:
        found = workers_in_script(ScriptFile(text, "w.sh"), calls[way])
        assert all(worker.line <= text.count("\n") + 1 for worker in found)
    for worker in found:
        assert worker.is_worker
        assert all(each.at <= len(text) for each in worker.shells[:1])


TARGETS: dict[str, Target] = {
    "record": Target(record_summary, [extra_of(RECORD)], (Unreadable,)),
    "record's fields": Target(
        lambda changed: record_of(hash_of(changed)), refuses=(Unreadable,),
        make=changed_hash,
    ),
    "cursor": Target(decode, CHECKPOINTS, (CursorError,)),
    "mode": Target(read_mode, MODES, (CorruptRecord,)),
    "report": Target(decode_report, [encode_report(REPORT)]),
    "message": Target(
        lambda text: unpack(bytes_of(text)), [PACKED, PACKED_BY_KOMBU], (CorruptRecord,)
    ),
    "headers": Target(read_headers, make=headers),
    "control message": Target(ask_workers, make=control_message),
    "worker's answer": Target(from_answer, make=answer),
    "process entry": Target(decode_entry, [ENTRY], (ValueError,)),
    "beat's entries": Target(
        decode_owed, [json.dumps({"schema": 1, "owed": {"a": 1, "b": 2}, "mark": "m"})],
        (CorruptRecord,),
    ),
    "quarantined item": Target(
        lambda text: quarantined_items._read(RunKey("a", "1"), 1, text), [ASIDE], (CorruptRecord,)
    ),
    "parking claim": Target(claimed, [json.dumps(["w", 120.0])]),
    "flag's environment": Target(flag._read, [json.dumps([12, "/dev/shm/x", "w@h/1"])]),
    "manifest": Target(read_manifest, make=manifest, longest=4000),
    "shell": Target(read_shell, SCRIPTS, (UnreadableShell,), longest=1500),
    **PAST_TARGETS,
    **SCREEN_TARGETS,
}  # fmt: skip
