"""What stands between a running worker and the first process."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from celery_graceful.doctor.examine import findings_of_processes
from celery_graceful.doctor.facts.processes import Process, all_processes, own_ancestry, workers_in
from celery_graceful.doctor.startup import configuration_findings
from tests.harness import wait_for
from tests.unit.doctor.sound import APP
from tests.unit.doctor.test_app_configuration import app_with

CELERY = "/venv/bin/python /venv/bin/celery -A shop worker"
SYSTEMD = "/sbin/init"
SUPERVISORD = "/usr/bin/python3 /usr/bin/supervisord -n"


def tree(*lines: str | list[str], environ: dict[str, str] | None = None) -> list[Process]:
    """A chain of processes from PID 1 on, the last one the worker."""
    words = [line.split() if isinstance(line, str) else line for line in lines]
    chain = [Process(pid, pid - 1, tuple(argv)) for pid, argv in enumerate(words, 1)]
    return [*chain[:-1], chain[-1]._replace(environ=environ or {})]


def ids(processes: list[Process]) -> list[str]:
    return [each.id for each in findings_of_processes(APP, workers_in(processes))]


@pytest.mark.parametrize(
    "chain",
    [
        [CELERY],
        ["/usr/bin/tini -- celery -A shop worker", CELERY],
        ["/sbin/docker-init -- celery -A shop worker", CELERY],
        ["dumb-init --single-child -- celery -A shop worker", CELERY],
        [SYSTEMD, CELERY],
        [SYSTEMD, SUPERVISORD, CELERY],
        [SYSTEMD, "sshd", "-bash", CELERY],
        [SYSTEMD, "tmux", "bash", ["sh", "-c", "celery -A shop worker"], CELERY],
        ["python serve.py", "pytest", CELERY],
        ["tini -- python serve.py", "python serve.py", CELERY],
        ["tini -- sh", ["sh", "-c", "trap 'kill $P' TERM; celery worker & wait"], CELERY],
    ],
)
def test_nothing_in_the_way(chain: list[str]) -> None:
    assert ids(tree(*chain)) == []


@pytest.mark.parametrize(
    ("chain", "finds"),
    [
        ([["sh", "-c", "celery -A shop worker"], CELERY], "GD301"),
        (["/bin/bash /entry.sh", CELERY], "GD301"),
        (["tini -- /entry.sh", "sh /entry.sh", CELERY], "GD301"),
        ([SYSTEMD, SUPERVISORD, ["sh", "-c", "celery -A shop worker"], CELERY], "GD301"),
        (["dumb-init celery -A shop worker", CELERY], "GD203"),
        (["/usr/bin/tini -g -- celery -A shop worker", CELERY], "GD204"),
        (["su app -c celery", CELERY], "GD304"),
        (["python /venv/bin/honcho start", ["sh", "-c", "celery worker"], CELERY], "GD205"),
        (["tail -f /dev/null", CELERY], "GD310"),
        (["npm start", CELERY], "GD310"),
    ],
)
def test_what_keeps_the_signal_or_spreads_it(chain: list[str], finds: str) -> None:
    assert ids(tree(*chain)) == [finds]


def test_children_that_ignore_sigterm_do_not_mind_a_group() -> None:
    chain = tree("dumb-init celery", CELERY, environ={"REMAP_SIGTERM": "SIGQUIT"})
    assert ids(chain) == []


HONCHO: list[str | list[str]] = ["python /venv/bin/honcho start", ["sh", "-c", "celery w"], CELERY]


@pytest.mark.parametrize(
    ("value", "finds"), [("5s", []), ("30", []), ("0", ["GD205"]), ("off", ["GD205"])]
)
def test_a_worker_that_knows_its_period_does_not_mind_a_group(value: str, finds: list[str]) -> None:
    assert ids(tree(*HONCHO, environ={"GRACEFUL_GRACE_PERIOD": value})) == finds


def test_a_worker_that_was_told_by_its_manager_does_not_either() -> None:
    chain = tree(*HONCHO)
    chain[-1] = chain[-1]._replace(pid=os.getpid())

    def found(grace: float | None) -> list[str]:
        given = configuration_findings(app_with(), environ={}, ancestry=chain, grace=grace)
        return [each.id for each in given if each.id[:3] == "GD2"]

    assert found(None) == ["GD205"]
    assert found(5.0) == []


def test_pool_children_are_no_workers() -> None:
    chain = tree("tini celery", CELERY)
    chain += [Process(pid, 2, tuple(CELERY.split())) for pid in (3, 4)]
    assert [each.name for each in workers_in(chain)] == ["process 2"]


def test_one_worker_may_be_asked_for() -> None:
    chain = tree("sh -c celery", "[celeryd: renamed]")
    (worker,) = workers_in(chain, only=2)
    (finding,) = findings_of_processes(APP, [worker])
    assert finding.id == "GD301"
    assert "process 2" in finding.what
    assert workers_in(chain, only=77) == []


def test_a_circle_has_an_end() -> None:
    loop = [Process(2, 3, ("sh", "x")), Process(3, 2, ("sh", "x")), Process(4, 3, ("celery", "x"))]
    assert len(workers_in(loop, only=4)) <= 1


def test_real_processes_are_seen(tmp_path: Path) -> None:
    script = tmp_path / "supervisord"
    script.write_text("import subprocess; subprocess.call(['sh', '-c', 'sleep 60; true'])")
    started = subprocess.Popen([sys.executable, str(script)], start_new_session=True)
    try:

        def sleeper() -> list[Process]:
            mine = {p.pid: p for p in all_processes()}
            shells = [p for p in mine.values() if p.ppid == started.pid]
            return [p for p in mine.values() if p.ppid in {s.pid for s in shells}]

        (sleep,) = wait_for(sleeper, 10, "the shell's child")
        (worker,) = workers_in(all_processes(), only=sleep.pid)
        assert [e.id for e in findings_of_processes(replace(APP, tasks=()), [worker])] == ["GD301"]
    finally:
        os.killpg(started.pid, 9)
        started.wait()


def test_ones_own_ancestry_begins_with_oneself() -> None:
    chain = own_ancestry()
    assert chain[0].pid == os.getpid()
    assert chain[0].environ
    assert all(child.ppid == parent.pid for child, parent in pairwise(chain))
