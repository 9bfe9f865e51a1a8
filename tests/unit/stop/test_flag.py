"""The stop flag in one process: what it says, what it leaves, and what it does not believe."""

from __future__ import annotations

import gc
import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from celery_graceful.model.run.reasons import StopReason
from celery_graceful.stop import flag

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")


@pytest.fixture(autouse=True)
def _no_flag_before_and_after(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv(flag.ENVIRONMENT, raising=False)
    flag.withdraw()
    monkeypatch.setattr(flag, "_refused", None)
    # Meanwhile no garbage closes its files: neither those of other tests nor a file that the flag
    # should have closed itself.
    gc.disable()
    yield
    gc.enable()
    flag.withdraw()


@pytest.fixture(params=["without a name", "named"])
def memory(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """Both kinds of shared memory; the named one is what other systems than Linux have."""
    if request.param == "named":
        monkeypatch.setattr(flag, "_anonymous", lambda: None)
        # Not in the memory that all processes of this host share.
        monkeypatch.setattr(os, "access", lambda path, mode: False)
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return str(request.param)


def files(folder: Path | None = None) -> set[str]:
    """The open files of this process, and the flag's files in ``folder``."""
    opened = set()
    for number in os.listdir("/proc/self/fd"):
        try:
            opened.add(f"{number} {os.readlink(f'/proc/self/fd/{number}')}")
        except FileNotFoundError:  # the one that listed the folder
            continue
    named = folder.glob("celery-graceful-*") if folder else ()
    return {*opened, *map(str, named)}


# -- what it says -----------------------------------------------------------------------------


def test_down_at_first(memory: str) -> None:
    mine = flag.owned("w@host")
    assert (mine.raised, mine.stop, mine.released, mine.solo, mine.deadline) == (
        False,
        None,
        False,
        False,
        None,
    )
    assert (mine.worker, mine.owner_pid) == ("w@host", os.getpid())
    assert flag.current() is mine


@pytest.mark.parametrize("reason", [StopReason.SHUTDOWN, StopReason.MAINTENANCE])
def test_raised_once(memory: str, reason: StopReason) -> None:
    mine = flag.owned("w")
    assert mine.raise_(reason) is True
    assert mine.raise_(StopReason.SHUTDOWN) is False
    assert mine.stop == flag.Stop(reason, cold=False)
    assert mine.raised


def test_cold_comes_on_top() -> None:
    mine = flag.owned("w")
    mine.raise_(StopReason.SHUTDOWN)
    assert mine.raise_(StopReason.SHUTDOWN, cold=True) is False
    assert mine.stop == flag.Stop(StopReason.SHUTDOWN, cold=True)
    mine.raise_(StopReason.SHUTDOWN)
    assert mine.stop.cold


def test_released_solo_and_deadline() -> None:
    mine = flag.owned("w")
    mine.release()
    assert (mine.released, mine.raised) == (True, False)
    mine.set_solo()
    assert mine.solo
    until = time.monotonic() + 30
    mine.set_deadline(until)
    assert mine.deadline == until


# -- what it leaves ---------------------------------------------------------------------------


def test_withdrawing_leaves_nothing(memory: str, tmp_path: Path) -> None:
    before = files(tmp_path)
    for _ in range(3):
        flag.owned("w").raise_(StopReason.SHUTDOWN)
        flag.withdraw()
    assert files(tmp_path) == before
    assert flag.current() is None
    assert flag.ENVIRONMENT not in os.environ


def test_owning_again_starts_clean_and_leaves_nothing(memory: str, tmp_path: Path) -> None:
    before = files(tmp_path)
    flag.owned("first").raise_(StopReason.SHUTDOWN)
    second = flag.owned("second")
    assert not second.raised
    assert flag.current() is second
    del second
    flag.withdraw()
    assert files(tmp_path) == before


def test_withdrawing_twice_or_without_a_flag() -> None:
    flag.withdraw()
    flag.owned("w")
    flag.withdraw()
    flag.withdraw()


def test_a_view_outlives_its_withdrawal(memory: str) -> None:
    """An execution of the threads pool may still look at it."""
    mine = flag.owned("w")
    mine.raise_(StopReason.SHUTDOWN)
    flag.withdraw()
    assert mine.raised


def test_a_file_in_place_of_the_flags_is_not_closed() -> None:
    """After a re-exec the number in the environment may belong to another file."""
    with open(os.devnull) as other:
        os.environ[flag.ENVIRONMENT] = f"{os.getpid()}|w|/proc/{os.getpid()}/fd/{other.fileno()}"
        flag.withdraw()
        assert other.read() == ""


# -- what it does not believe -----------------------------------------------------------------

PID, PARENT = os.getpid(), os.getppid()


WORDS: dict[str, str] = {
    "a word": "garbage",
    "of another version": f"{PID}|w|/tmp",
    "null": "null",
    "a number": "5",
    "an object": "{}",
    "deep": "[" * 100_000,
    "too few": f"[{PARENT}, 1]",
    "too many": f'[{PARENT}, "/tmp", "w", "more"]',
    "no number": '["x", "/tmp", "w"]',
    "no path": f'[{PID}, null, "w"]',
    "true": '[true, "/tmp", "w"]',
}
#: Names of the paths that the environment may point to; see ``place``. ``PID`` is this process.
PATHS = [
    *("empty", "short", "other", "folder", "fifo", "missing", "celery-graceful-project/data"),
    *("/dev/null", "/dev/zero", "/proc/", "/proc/self/fd/x"),
    *("/proc/PID/fd/999999", "/proc/PID/fd/0", "\0", "\ud800"),
]
OWNERS = {"mine": PID, "of the parent": PARENT, "of another": 2**31}
TOLD = [*WORDS, *(f"{path!r} {owner}" for path in PATHS for owner in OWNERS)]


@pytest.fixture(params=TOLD)
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with files, one of which the environment may name as the flag's memory."""
    for name, content in {
        "empty": b"",
        "short": b"celery-graceful\x01",
        "other": b"x" * 4096,
        "celery-graceful-project/data": b"celery-graceful" + b"\x01" * 4096,
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    told = WORDS.get(request.param)
    if told is None:
        path, owner = request.param.rsplit("' ", 1)
        path = next(p for p in PATHS if repr(p) == path + "'").replace("PID", str(PID))
        # An absolute path stays what it is.
        told = json.dumps([OWNERS[owner], f"{tmp_path}/{path}" if path[0] != "/" else path, "w"])
    monkeypatch.setenv(flag.ENVIRONMENT, told)
    return tmp_path


def tree(folder: Path) -> list[str]:
    return sorted(str(path) for path in folder.rglob("*"))


def test_a_hostile_environment_is_ignored(place: Path) -> None:
    if "celery-graceful-project" in os.environ[flag.ENVIRONMENT]:
        pytest.skip("a file with the right beginning, told by the parent, is the flag")
    before = files()
    assert flag.current() is None
    assert flag.current() is None
    assert files() == before


def test_a_worker_starts_in_a_hostile_environment(place: Path) -> None:
    """Nothing is removed or closed but the flag's own file, whatever the environment names."""
    there = tree(place)
    mine = flag.owned("w")
    assert flag.current() is mine
    assert tree(place) == there
    os.fstat(0)


def test_what_was_raised_before_a_re_exec_is_not_believed(
    memory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGHUP: the same process, the same environment, and a file that may still be there."""
    flag.owned("w").raise_(StopReason.SHUTDOWN)
    monkeypatch.setattr(flag, "_flag", None)
    assert flag.current() is None


def test_the_workers_name_may_hold_any_character(memory: str) -> None:
    mine = flag.owned("a|b|c@host")
    told = os.environ[flag.ENVIRONMENT]
    assert os.getpid() == json.loads(told)[0]
    there = flag._open(told.replace(str(os.getpid()), str(os.getppid()), 1))
    assert there is not None
    assert there.worker == "a|b|c@host"
    mine.raise_(StopReason.SHUTDOWN)
    assert there.raised
