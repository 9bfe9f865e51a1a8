"""Ids may be shortened, on the screen and by who types them."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from celery_graceful.model.run import events as ev
from celery_graceful.model.run.record import RunKey, State
from celery_graceful.runs.api import Runs
from celery_graceful.runs.lookup import AT_MOST, shortened
from celery_graceful.runs.transition import transition
from celery_graceful.runtime import Runtime
from tests.unit.cli.shop import ID, RUN, TASK, Run, begin, state

#: Task ids as Celery makes them.
LONG = "8f6f2c52-1b1f-4c55-9d3b-2f0e6f6f0001"


def admitted(runtime: Runtime, *ids: str, task: str = TASK) -> None:
    for run_id in ids:
        admit = ev.Admit(generation=0, owner="w1/abc")
        transition(runtime.store, RunKey(task, run_id), admit, runtime.policy)


@pytest.mark.parametrize(
    ("ids", "short"),
    [
        ([LONG], ["8f6f2c52"]),
        (["8f6f2c52-1", "8f6f2c52-2", "9"], ["8f6f2c52-1", "8f6f2c52-2", "9"]),
        (["nightly-2026-11-30", "nightly-2026-11-29"], ["nightly-2026-11-3", "nightly-2026-11-2"]),
        (["8f6f2c52", LONG], ["8f6f2c52", "8f6f2c52-"]),
        ([LONG, LONG], [LONG, LONG]),  # of two tasks
        ([], []),
    ],
)
def test_a_shortened_id_names_one_of_those_shown(ids: list[str], short: list[str]) -> None:
    assert shortened(ids, lambda prefix: [one for one in ids if one.startswith(prefix)]) == short


def test_a_shortened_id_names_one_of_the_store() -> None:
    hidden = ["8f6f2c52-1c", "8f6f2c5200"]
    assert shortened([LONG], lambda prefix: [i for i in [LONG, *hidden] if i[:8] == prefix]) == [
        "8f6f2c52-1b"
    ]
    many = [f"{LONG[:8]}{n}" for n in range(AT_MOST)]
    assert shortened([LONG], lambda _: many) == [LONG]


@pytest.mark.parametrize("verb", ["show", "pause", "cancel"])
@pytest.mark.parametrize("name", [ID[:1], ID[:7], ID, f"{TASK}[{ID[:4]}", f"{TASK}[{ID[:4]}]"])
def test_every_command_takes_the_beginning_of_an_id(
    call: Run, runtime: Runtime, verb: str, name: str
) -> None:
    begin(runtime)
    admitted(runtime, "9" + ID, task="shop.other")
    done = call(verb, name)
    if name.endswith("]") or "[" not in name:
        assert done.exit_code == 0, done.stderr
        assert f"{TASK}[{ID}]" in done.stderr or ID in done.stdout
    else:
        assert done.exit_code == 4


def test_what_undoes_a_change_names_the_run_in_full(call: Run, runtime: Runtime) -> None:
    begin(runtime)
    assert f"Undo: celery graceful resume {ID}\n" in call("pause", ID[:3]).stderr
    assert call("resume", ID[:3]).exit_code == 0
    undo = call("pause", f"{TASK}[{ID[:3]}]").stderr
    assert f"Undo: celery graceful resume '{TASK}[{ID}]'\n" in undo


@pytest.mark.parametrize("verb", ["show", "pause", "resume", "cancel", "resend", "replay"])
def test_an_ambiguous_beginning_is_refused_with_the_candidates(
    call: Run, runtime: Runtime, verb: str
) -> None:
    begin(runtime)
    admitted(runtime, "8f99", task="shop.gone")  # of a task that is not registered here
    done = call(verb, "8f")
    assert done.exit_code == 4
    assert "'8f' fits 2 runs; write more of the id, or one of these:" in done.stderr
    assert f"\n  {TASK}[{ID}] (running)\n" in done.stderr
    assert "\n  shop.gone[8f99] (running)\n" in done.stderr
    assert state(runtime) is State.RUNNING


def test_a_whole_id_is_not_ambiguous(call: Run, runtime: Runtime) -> None:
    admitted(runtime, ID, ID + "0", ID + "1")
    assert call("pause", ID).exit_code == 0
    admitted(runtime, "77", "777", task="shop.gone")
    assert str(Runs(lambda: runtime.app).get("77")) == "shop.gone[77]"


def test_many_candidates_are_not_all_named(call: Run, runtime: Runtime) -> None:
    admitted(runtime, *(f"a{number:02}" for number in range(30)))
    done = call("show", "a")
    assert "'a' fits more than 10 runs" in done.stderr
    assert len(re.findall(rf"{TASK}\[a", done.stderr)) == 10


def test_an_empty_id_names_none(call: Run, runtime: Runtime) -> None:
    begin(runtime)
    assert call("pause", "").exit_code == 4
    assert call("pause", f"{TASK}[]").exit_code == 4


# -- on the screen ---------------------------------------------------------------------------


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[int | None], None]:
    def of(width: int | None) -> None:
        for module in ("cli.output", "text.terminal"):
            monkeypatch.setattr(f"celery_graceful.{module}.terminal_width", lambda: width)

    return of


@pytest.mark.parametrize("width", [60, 80, 120, 160, None])
def test_the_list_of_runs_fits_and_its_ids_can_be_typed(
    call: Run, runtime: Runtime, terminal: Callable[[int | None], None], width: int | None
) -> None:
    admitted(runtime, LONG, LONG[:-1] + "2", "7e" + LONG[2:])
    admitted(runtime, LONG[:-4] + "2002", task="shop.gone")
    terminal(width)
    lines = call("runs").stdout.splitlines()
    assert max(map(len, lines)) <= (width or 10_000)
    whole = width in (120, 160, None)
    ids = [word for line in lines for word in line.split() if re.match(r"(8f6f|7e6f)", word)]
    assert len(ids) == 4
    assert all((len(run_id) == len(LONG)) is whole for run_id in ids if run_id[:2] == "7e")
    for run_id in ids:
        assert call("show", run_id).exit_code == 0
    for _ in range(2):  # with others that are not shown
        lines = call("runs", "-n", "2").stdout.splitlines()
        for run_id in re.findall(r"(?<!\S)[87][fe]6f\S+", "\n".join(lines)):
            assert call("show", run_id).exit_code == 0


def test_one_run_and_its_undo_are_not_cut(
    call: Run, runtime: Runtime, terminal: Callable[[int | None], None]
) -> None:
    begin(runtime)
    terminal(40)
    assert RUN.id in call("show", ID[:3]).stdout
