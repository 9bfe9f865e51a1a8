"""The flag in other processes: forked, spawned, re-executed, and such as are no child at all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from celery_graceful.model.run.reasons import StopReason
from celery_graceful.stop import flag

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")

#: Says what it sees at the start, and again when it is asked to look.
CHILD = """
import sys
from celery_graceful.stop import flag, sleep, stopping, time_left
def tell():
    f = flag.current()
    print(f and (f.worker, f.raised, f.released, str(stopping())), flush=True)
tell()
for line in sys.stdin:
    tell()
"""
DIRECT, GRANDCHILD = (
    ["-c", CHILD],
    ["-c", f"import subprocess, sys\nsys.exit(subprocess.call([sys.executable, '-c', {CHILD!r}]))"],
)


@pytest.fixture(autouse=True)
def _no_flag_before_and_after(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv(flag.ENVIRONMENT, raising=False)
    flag.withdraw()
    yield
    flag.withdraw()


@pytest.fixture(params=["without a name", "named"])
def mine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> flag.StopFlag:
    """This process's flag, in both kinds of shared memory."""
    if request.param == "named":
        monkeypatch.setattr(flag, "_anonymous", lambda: None)
    return flag.owned("w@host")


class Child:
    """A Python that answers one line for each line it gets."""

    def __init__(self, argv: list[str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, *argv],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )

    def says(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def asked(self) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.says()

    def close(self) -> None:
        self.process.communicate(timeout=20)


@pytest.fixture
def start() -> Iterator[Callable[[list[str]], Child]]:
    children: list[Child] = []

    def start_one(argv: list[str]) -> Child:
        children.append(Child(argv))
        return children[-1]

    yield start_one
    for child in children:
        child.close()


def test_a_spawned_child_sees_it(mine: flag.StopFlag, start: Callable[[list[str]], Child]) -> None:
    child = start(DIRECT)
    assert child.says() == "('w@host', False, False, 'None')"
    mine.raise_(StopReason.SHUTDOWN)
    assert child.asked() == "('w@host', True, False, 'shutdown')"
    mine.release()
    assert child.asked() == "('w@host', True, True, 'shutdown')"


def test_a_child_spawned_after_the_stop_sees_it(
    mine: flag.StopFlag, start: Callable[[list[str]], Child]
) -> None:
    mine.raise_(StopReason.MAINTENANCE)
    assert start(DIRECT).says() == "('w@host', True, False, 'maintenance')"


def test_a_program_started_by_a_task_does_not(
    mine: flag.StopFlag, start: Callable[[list[str]], Child]
) -> None:
    """It is not the worker's child, and would mistake itself for one."""
    mine.raise_(StopReason.SHUTDOWN)
    assert start(GRANDCHILD).says() == "None"


def test_a_childs_death_leaves_the_flag(
    mine: flag.StopFlag, start: Callable[[list[str]], Child]
) -> None:
    child = start(["-c", CHILD + "\nflag.withdraw()\nprint('gone', flush=True)"])
    child.says()
    child.close()
    later = start(DIRECT)
    later.says()
    mine.raise_(StopReason.SHUTDOWN)
    assert later.asked() == "('w@host', True, False, 'shutdown')"


def path_in(told: str) -> str:
    """The path that the environment names."""
    path: str = json.loads(told)[1]
    return path


def in_fork(work: Callable[[], object]) -> object:
    """What ``work`` returns in a forked child, as text."""
    out, into = os.pipe()
    pid = os.fork()
    if not pid:
        status = 1
        try:
            os.write(into, repr(work()).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(into)
    with os.fdopen(out) as answer:
        text = answer.read()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    return text


def test_a_forked_child_sees_it(mine: flag.StopFlag) -> None:
    def look() -> object:
        seen = flag.current()
        assert seen is not None
        return seen.raised, seen.worker, seen.owner_pid == os.getppid()

    assert in_fork(look) == "(False, 'w@host', True)"
    mine.raise_(StopReason.SHUTDOWN)
    assert in_fork(look) == "(True, 'w@host', True)"
    assert in_fork(lambda: in_fork(lambda: mine.raised)) == repr("True")


def test_a_child_that_was_forked_before_the_stop_sees_it(mine: flag.StopFlag) -> None:
    ready_out, ready_in = os.pipe()
    go_out, go_in = os.pipe()
    pid = os.fork()
    if not pid:
        os.write(ready_in, b".")
        os.read(go_out, 1)
        seen = flag.current()
        os._exit(0 if seen is not None and seen.raised else 1)
    os.read(ready_out, 1)
    mine.raise_(StopReason.SHUTDOWN)
    os.write(go_in, b".")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    for number in (ready_out, ready_in, go_out, go_in):
        os.close(number)


def test_a_fork_that_withdraws_takes_nothing_from_the_parent(mine: flag.StopFlag) -> None:
    in_fork(flag.withdraw)
    assert os.path.exists(path_in(os.environ[flag.ENVIRONMENT]))


@pytest.mark.parametrize("kind", ["fork", "spawn"])
def test_billiard_children_see_it(mine: flag.StopFlag, kind: str) -> None:
    """The children of Celery's prefork pool."""
    code = f"""
import billiard
from celery_graceful.stop import flag
from celery_graceful.model.run.reasons import StopReason
def look(queue):
    f = flag.current()
    queue.put(f and (f.worker, f.raised))
if __name__ == "__main__":
    f = flag.owned("w")
    f.raise_(StopReason.SHUTDOWN)
    context = billiard.get_context({kind!r})
    queue = context.SimpleQueue()
    child = context.Process(target=look, args=(queue,))
    child.start()
    print(queue.get())
    child.join()
    flag.withdraw()
"""
    assert run_file(code) == "('w', True)"


RE_EXEC = """
import os, sys
from celery_graceful.stop import flag
from celery_graceful.model.run.reasons import StopReason
if {named}:
    flag._anonymous = lambda: None
    os.access = lambda path, mode: False  # not the memory that all processes of this host share
if len(sys.argv) == 1:
    f = flag.owned("w")
    f.raise_(StopReason.SHUTDOWN)
    os.execv(sys.executable, [sys.executable, sys.argv[0], "again"])
seen = flag.current()
mine = flag.owned("w2")
left = os.environ[flag.ENVIRONMENT]
print(seen, mine.raised, mine.worker, flag.current() is mine)
flag.withdraw()
"""


@pytest.mark.parametrize("named", [False, True])
def test_a_re_executed_worker_starts_clean(
    named: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert run_file(RE_EXEC.format(named=named)) == "None False w2 True"
    assert list(tmp_path.iterdir()) == []


def run_file(code: str) -> str:
    """What a file with this code prints; it has to end well."""
    import tempfile

    with tempfile.NamedTemporaryFile("w", suffix=".py") as file:
        file.write(code)
        file.flush()
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        environment.pop(flag.ENVIRONMENT, None)
        done = subprocess.run(
            [sys.executable, file.name], capture_output=True, text=True, timeout=60, env=environment
        )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


KILLED = """
import os, signal
from celery_graceful.stop import flag
flag.owned("w")
print(os.environ[flag.ENVIRONMENT], flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_owner_leaves_no_file() -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert not os.path.exists(path_in(done.stdout.strip()))
