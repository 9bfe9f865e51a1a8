"""A forked Python is what a new one would be, as far as others can see."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.harness.forkserver import COLD, Forked, run, start

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks on Linux only")

SHOW = """
import json, os, sys
print(json.dumps({
    "cmdline": open("/proc/self/cmdline").read().split("\\0")[:-1],
    "environ": sorted(open("/proc/self/environ").read().split("\\0")[:-1]),
    "variables": dict(os.environ), "argv": sys.argv, "orig": sys.orig_argv, "path": sys.path[0],
    "cwd": os.getcwd(), "session": os.getsid(0) == os.getpid(), "stdin": sys.stdin.read(),
    "name": __name__,
    "app": __import__("celery")._state.default_app is None,
}))
"""
ENV = {"PATH": os.environ["PATH"], "SOME": "value=1"}


def shown(folder: Path, **options: Any) -> dict[str, Any]:
    env = {
        key: value for key, value in os.environ.items() if key.startswith(("PYTHON", "LANG", "LC"))
    }
    env.update(ENV)
    done = run([sys.executable, "-c", SHOW, "a b", "é"], env=env, timeout=60, cwd=folder, **options)
    assert done.returncode == 0, done.stderr
    return {**json.loads(done.stdout), "env": env}


def test_what_proc_shows(tmp_path: Path) -> None:
    found = shown(tmp_path, stdin="read me")
    assert found["cmdline"] == [sys.executable, "-c", SHOW, "a b", "é"]
    assert found["environ"] == sorted(f"{key}={value}" for key, value in found["env"].items())
    assert found["variables"] == found["env"]
    assert found["argv"] == ["-c", "a b", "é"]
    assert found["orig"] == found["cmdline"]
    assert found["cwd"] == found["path"] == str(tmp_path)
    assert found["session"]
    assert found["stdin"] == "read me"
    assert found["name"] == "__main__"
    assert found["app"]


def begun(code: str, output: Path, **options: Any) -> Any:
    with output.open("wb") as file:
        return start([sys.executable, "-c", code], env=os.environ, output=file, **options)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("", 0),
        ("raise SystemExit(7)", 7),
        ("raise KeyError('what')", 1),
        ("import os; os.kill(os.getpid(), 9)", -9),
        ("import os; os.kill(os.getpid(), 15)", -15),
    ],
)
def test_exit_codes(code: str, expected: int) -> None:
    done = run([sys.executable, "-c", code], env=os.environ, timeout=60)
    assert done.returncode == expected
    assert ("KeyError: 'what'" in done.stderr) == ("KeyError" in code)


def test_it_is_waited_for_and_killed(tmp_path: Path) -> None:
    process = begun("import time; time.sleep(600)", tmp_path / "output")
    assert isinstance(process, Forked)
    assert process.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.05)
    process.kill()
    assert process.wait(10) == -signal.SIGKILL
    assert process.poll() == -signal.SIGKILL


def test_a_module_runs_as_with_m() -> None:
    done = run([sys.executable, "-m", "celery", "--version"], env=os.environ, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout[0].isdigit()


def test_random_numbers_differ() -> None:
    code = "import random, uuid; print(random.random(), uuid.uuid4())"
    first, second = (
        run([sys.executable, "-c", code], env=os.environ, timeout=60).stdout for _ in range(2)
    )
    assert first != second


@pytest.mark.parametrize("how", ["cold", "switched off", "a variable that is read early", "gevent"])
def test_where_a_new_python_is_started(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if how == "switched off":
        monkeypatch.setenv(COLD, "1")
    early = {"REMAP_SIGTERM": "SIGQUIT"} if how.startswith("a variable") else {}
    with (tmp_path / "output").open("wb") as output:
        process = start(
            [sys.executable, "-c", "pass", *(["-P", "gevent"] if how == "gevent" else [])],
            env={**os.environ, **early},
            output=output,
            cold=how == "cold",
        )
    assert isinstance(process, subprocess.Popen)
    assert process.wait(60) == 0
