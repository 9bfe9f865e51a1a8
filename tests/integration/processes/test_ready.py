"""Ready is what the process itself shows, and nothing that takes a nap for it."""

from __future__ import annotations

import contextlib
import sys
import threading
from pathlib import Path

import pytest

from celery_graceful import background_process, ready
from celery_graceful.errors import ProcessEnded, ProcessError, ProcessNotReady
from celery_graceful.processes.start_options import Ready
from tests.servers.process import free_port

pytestmark = pytest.mark.usefixtures("nothing_left")

SERVER = """
import http.server, socket, sys, time
time.sleep(0.2)
if sys.argv[1] == "unix":
    s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[2]); s.listen(); time.sleep(60)
else:
    http.server.test(http.server.SimpleHTTPRequestHandler, port=int(sys.argv[2]), bind="127.0.0.1")
"""


def serve(how: str, where: object, check: Ready, **options: object) -> None:
    argv = [sys.executable, "-c", SERVER, how, str(where)]
    with background_process(argv, ready=check, ready_timeout=20, **options) as process:  # type: ignore[arg-type]
        process.check()
        if callable(check):
            assert check()


def test_a_port() -> None:
    port = free_port()
    serve("tcp", port, ready.port("127.0.0.1", port))


def test_a_connection_to_itself_is_no_answer() -> None:
    """It happens with ports that the system gives to connections, one time in 28000."""
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    check = ready.port("127.0.0.1", first + 1000)
    for _ in range(100_000):
        with contextlib.suppress(OSError):
            assert not check()
            return
    pytest.skip("the system does not do it")


def test_http(tmp_path: Path) -> None:
    port = free_port()
    serve("tcp", port, ready.http(f"http://127.0.0.1:{port}/"), cwd=tmp_path)
    serve("tcp", port, ready.http(f"http://127.0.0.1:{port}/no", status=404), cwd=tmp_path)
    with pytest.raises(ValueError, match="ftp"):
        ready.http("ftp://127.0.0.1/")


def test_a_unix_socket(tmp_path: Path) -> None:
    serve("unix", tmp_path / "s", ready.unix_socket(tmp_path / "s"))
    serve("unix", tmp_path / "p", ready.path(tmp_path / "p"))


def test_another_process_is_not_taken_for_this_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ready, "_LOOK", 5.0)
    port, socket = free_port(), tmp_path / "s"
    touch = ["touch", str(tmp_path / "started")]
    checks = [ready.port("127.0.0.1", port), ready.http(f"http://127.0.0.1:{port}/")]
    argv = [sys.executable, "-c", SERVER]
    with (
        background_process([*argv, "tcp", str(port)], ready=checks[0], cwd=tmp_path),
        background_process([*argv, "unix", str(socket)], ready=ready.unix_socket(socket)),
    ):
        for check in (*checks, ready.unix_socket(socket)):
            with pytest.raises(ProcessError, match=r"not started: .* answers already"):
                background_process(touch, ready=check, ready_timeout=0.3)
        # whoever answers otherwise may stand before it
        with pytest.raises(ProcessEnded):
            background_process(["true"], ready=ready.http(f"http://127.0.0.1:{port}/no"))
    assert not (tmp_path / "started").exists()


def test_the_end_of_one_before_is_waited_for() -> None:
    port = free_port()
    check = ready.port("127.0.0.1", port)
    argv = [sys.executable, "-c", SERVER, "tcp", str(port)]
    before = background_process(argv, ready=check)
    ending = threading.Timer(0.5, before.stop)
    ending.start()
    with background_process(argv, ready=check) as process:
        ending.join()
        assert before.returncode is not None
        process.check()


def test_a_path_that_an_earlier_one_has_left(tmp_path: Path) -> None:
    left = tmp_path / "pid"
    left.write_text("1")
    with pytest.raises(ProcessNotReady):
        background_process(["sleep", "60"], ready=ready.path(left), ready_timeout=0.3)
    script = f"sleep 0.2; echo $$ > {left}.new; mv {left}.new {left}; exec sleep 60"
    with background_process(["sh", "-c", script], ready=ready.path(left)) as process:
        assert left.read_text() == f"{process.pid}\n"


def test_a_function(tmp_path: Path) -> None:
    asked = []

    def third_time() -> bool:
        asked.append(1)
        if len(asked) == 1:
            raise ConnectionError("not yet")
        return len(asked) == 3

    with background_process(["sleep", "60"], ready=third_time):
        assert len(asked) == 3
    with pytest.raises(ZeroDivisionError):
        background_process(["sleep", "60"], ready=lambda: 1 / 0)


@pytest.mark.parametrize("to_file", [False, True])
def test_a_line_of_output(tmp_path: Path, to_file: bool) -> None:
    check = ready.log_line(r"Tunnel is (up|\w+)\.")
    script = "echo starting; sleep 0.1; printf 'Tunnel is '; sleep 0.1; echo up.; exec sleep 60"
    for _ in range(2):  # what one process wrote is not taken for another's
        output = tmp_path / "log" if to_file else None
        with background_process(["sh", "-c", script], ready=check, output=output) as process:
            assert process.output_tail.strip() == "starting\nTunnel is up."


def test_a_line_in_a_flood() -> None:
    script = "yes | head -200000; echo ready; exec yes"
    with background_process(["sh", "-c", script], ready=ready.log_line("^ready$")) as process:
        assert len(process.output_tail) == 64 * 1024


def test_a_pattern_of_bytes() -> None:
    with pytest.raises(TypeError, match="bytes"):
        ready.log_line(b"up")  # type: ignore[arg-type]
