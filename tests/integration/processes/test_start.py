"""What a process is started with, and what is said when it cannot be."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from celery_graceful import background_process, ready
from celery_graceful.errors import ProcessEnded, ProcessNotReady
from celery_graceful.processes.guardian import system
from celery_graceful.processes.start_options import TAG
from tests.harness import wait_for

pytestmark = pytest.mark.usefixtures("nothing_left")

UP = ready.log_line("up")


def printed(code: str, **options: object) -> str:
    """What a Python program writes before it waits to be ended."""
    program = f"{code}\nprint('up', flush=True)\nimport time; time.sleep(60)"
    argv = [sys.executable, "-c", program]
    with background_process(argv, ready=UP, **options) as process:  # type: ignore[arg-type]
        return process.output_tail.rstrip("\n").removesuffix("up")


@pytest.mark.parametrize(
    ("argv", "kind"),
    [(["/nowhere/tunnel"], FileNotFoundError), (["no-tunnel"], FileNotFoundError)],
)
def test_a_program_that_is_not_there(argv: list[str], kind: type[OSError]) -> None:
    with pytest.raises(kind) as raised:
        background_process(argv)
    assert raised.value.filename == argv[0]


def test_a_program_that_may_not_be_run(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("no program")
    with pytest.raises(PermissionError) as raised:
        background_process([tmp_path / "data"])
    assert raised.value.filename == str(tmp_path / "data")


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as raised:
        background_process(["true"], cwd=tmp_path / "nowhere")
    assert raised.value.filename == str(tmp_path / "nowhere")


def test_environment_and_folder(tmp_path: Path) -> None:
    (tmp_path / "here").touch()
    code = "import os; print(sorted(os.environ.items()), os.listdir())"
    said = printed(code, env={"A": "1"}, cwd=tmp_path)
    assert "('A', '1')" in said
    assert TAG in said
    assert "'here'" in said
    assert "PATH" not in said


def test_a_program_is_looked_for_in_its_own_path(tmp_path: Path) -> None:
    tunnel = tmp_path / "tunnel"
    tunnel.write_text("#!/bin/sh\necho up; exec /bin/sleep 60\n")
    tunnel.chmod(0o755)
    with background_process(["tunnel"], env={"PATH": f"/nowhere:{tmp_path}"}, ready=UP):
        pass


def test_an_error_about_what_is_no_utf_8_can_be_written() -> None:
    with pytest.raises(ProcessEnded) as raised:
        background_process(["sh", "-c", r"printf '\376'; exit 3", b"\xff"], ready=UP)
    str(raised.value).encode()
    assert r"\xff" in str(raised.value)


def test_the_shell() -> None:
    with background_process("echo $((1 + 1)) up; sleep 60", shell=True, ready=UP) as process:
        assert process.output_tail.strip() == "2 up"


def test_signals_are_as_new() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in a pool child
    masked = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    try:
        said = printed(
            "import signal; print(signal.getsignal(2) is signal.default_int_handler,"
            " int(signal.getsignal(15)), signal.pthread_sigmask(0, []))"
        )
    finally:
        signal.signal(signal.SIGINT, before)
        signal.pthread_sigmask(signal.SIG_SETMASK, masked)
    assert said == f"True {int(signal.SIG_DFL)} set()\n"


def test_a_session_of_its_own_and_no_open_files() -> None:
    opened = os.pipe()
    for fd in opened:
        os.set_inheritable(fd, True)
    try:
        said = printed(
            "import os; print(os.getsid(0) == os.getpgrp() == os.getpid(), os.listdir('/dev/fd'))"
        )
    finally:
        for fd in opened:
            os.close(fd)
    assert said == "True ['0', '1', '2', '3']\n", "3 is what lists them"


def test_the_guardian_holds_nothing_of_its_owner() -> None:
    opened = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(opened, True)
    try:
        with background_process(["sleep", "60"]) as process:
            guardian = psutil.Process(process.pid).parent()
            folder = Path(f"/proc/{guardian.pid}/fd")
            links = {int(fd.name): os.readlink(fd) for fd in folder.iterdir()}
            assert links[0].startswith("socket:")
            assert links[1] == links[2] == "/dev/null"
            assert links[3].endswith(".json"), "its entry in the registry, locked"
            rest = [link for fd, link in links.items() if fd > 3]
            assert {link.split(":")[0] for link in rest} <= {"pipe", "anon_inode"}
            assert guardian.cwd() == "/"
    finally:
        os.close(opened)


def test_other_children_do_not_hide_the_owners_end() -> None:
    """Threads that start processes at the same time keep no socket to a guardian open."""
    found: list[set[str]] = []

    def start_others() -> None:
        while len(found) < 30:
            done = subprocess.run(
                ["sh", "-c", "ls -l /dev/fd/"], close_fds=False, capture_output=True, text=True
            )
            found.append({line for line in done.stdout.splitlines() if "socket:" in line})

    here = {os.readlink(fd) for fd in Path("/dev/fd").iterdir() if fd.is_symlink() and fd.exists()}
    thread = threading.Thread(target=start_others)
    thread.start()
    while thread.is_alive():
        with background_process(["sleep", "60"]):
            pass
    strange = [line for lines in found for line in lines if line.split()[-1] not in here]
    assert not strange


def test_an_end_before_ready_is_an_error_whatever_its_code() -> None:
    with pytest.raises(ProcessEnded) as raised:
        background_process(
            ["sh", "-c", "echo no route; exit 0"], ready=ready.path("/nowhere"), ready_timeout=20
        )
    error = raised.value
    assert (error.returncode, error.output_tail) == (0, "no route\n")
    for part in ("sh -c 'echo no route; exit 0'", f"pid {error.pid}", "exit code 0", "no route"):
        assert part in str(error)


def test_not_ready_in_time_names_what_was_waited_for() -> None:
    with pytest.raises(ProcessNotReady) as raised:
        background_process(
            ["sh", "-c", "echo trying; sleep 60"],
            ready=ready.port("127.0.0.1", 1),
            ready_timeout="3s",
        )
    for part in ("3s", "port 1 of 127.0.0.1", "trying", f"pid {raised.value.pid}"):
        assert part in str(raised.value)
    assert isinstance(raised.value.__cause__, ConnectionRefusedError)
    wait_for(lambda: not psutil.pid_exists(raised.value.pid or 0))


@pytest.mark.parametrize(
    ("argv", "options", "says"),
    [
        ("sleep 60", {}, "shell=True"),
        (["sleep", "60"], {"shell": True}, "one text"),
        ([], {}, "no program"),
        (["sleep", "60"], {"ready": 443}, "ready.port"),
        (["sleep", "60"], {"grace": -1}, "negative"),
        (["sleep", "60"], {"stop_signal": 4711}, "4711"),
        (["echo", "a\0b"], {}, "null byte"),
        (["pwd"], {"cwd": "/tmp\0"}, "null byte"),
        (["env"], {"env": {"A=B": "C"}}, "A=B"),
        (["env"], {"env": {"": "C"}}, "name of a variable"),
    ],
)
def test_mistakes(argv: object, options: dict[str, object], says: str) -> None:
    with pytest.raises((TypeError, ValueError), match=says):
        background_process(argv, **options)  # type: ignore[arg-type]


def test_nothing_is_started_once_the_guardian_was_killed(tmp_path: Path) -> None:
    started = tmp_path / "started"
    options = {"cwd": b"/", "env": {}}
    pid = os.fork()
    if pid == 0:  # as the guardian's fork, whose parent is init by now
        try:
            system._become([b"touch", os.fsencode(started)], options, 1, guardian=-1)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 127
    assert not started.exists()
