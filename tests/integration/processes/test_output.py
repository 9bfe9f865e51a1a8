"""Output never blocks the process, and its last part can always be seen."""

from __future__ import annotations

import logging
from pathlib import Path

import psutil
import pytest

from celery_graceful import background_process, ready
from tests.harness import wait_for

pytestmark = pytest.mark.usefixtures("nothing_left")


def test_more_than_a_pipe_holds(tmp_path: Path) -> None:
    script = f"seq 200000 >&2; echo done; touch {tmp_path}/written; exec sleep 60"
    done = ready.path(tmp_path / "written")
    with background_process(["sh", "-c", script], ready=done) as process:
        tail = process.output_tail
    assert tail.endswith("199999\n200000\ndone\n")
    assert len(tail) == 64 * 1024
    assert process.output_tail == tail


def test_a_file_is_appended_to(tmp_path: Path) -> None:
    file = tmp_path / "tunnel.log"
    file.write_text("before\n")
    up = ready.log_line("up")
    with background_process(
        ["sh", "-c", "echo up; echo bad >&2; sleep 60"], output=file, ready=up
    ) as process:
        wait_for(lambda: process.output_tail == "up\nbad\n")
    assert file.read_text() == "before\nup\nbad\n"
    with pytest.raises(FileNotFoundError):
        background_process(["true"], output=tmp_path / "nowhere" / "log")


def test_a_file_that_is_removed_hides_no_error(tmp_path: Path) -> None:
    file = tmp_path / "tunnel.log"

    def own_error() -> None:
        with background_process(["sh", "-c", "sleep 0.1; exit 3"], output=file) as process:
            file.unlink()
            wait_for(lambda: process.returncode == 3)
            assert "tunnel.log cannot be read" in process.output_tail
            raise KeyError("own")

    with pytest.raises(KeyError):
        own_error()


def test_lines_for_a_logger(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("tunnel")
    script = "trap 'echo bye; printf end; exit' TERM; echo up; while :; do sleep 60 & wait; done"
    with caplog.at_level("INFO", "tunnel"):
        with background_process(["sh", "-c", script], output=logger) as process:
            wait_for(lambda: "up" in process.output_tail)
        wait_for(lambda: "sh: end" in caplog.messages)
    assert caplog.messages == ["sh: up", "sh: bye", "sh: end"]


def test_a_flood_for_a_slow_logger_blocks_nobody(tmp_path: Path) -> None:
    class Slow(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            wait_for(lambda: stopped, 30)

    stopped: list[int] = []
    logger = logging.getLogger("slow tunnel")
    logger.propagate = False
    logger.setLevel("INFO")
    logger.addHandler(Slow())
    script = f"seq 2000000; touch {tmp_path}/written; exec sleep 60"
    try:
        with background_process(
            ["sh", "-c", script], output=logger, ready=ready.path(tmp_path / "written")
        ) as process:
            guardian = psutil.Process(process.pid).parent()
            assert guardian.memory_info().rss < 40 * 2**20
            stopped.append(1)
    finally:
        stopped.append(1)
        logger.handlers.clear()


def test_a_logger_that_fails_does_not_keep_the_process() -> None:
    def fail(record: logging.LogRecord) -> bool:
        raise OSError("the log's disk is full")

    logger = logging.getLogger("failing tunnel")
    logger.setLevel("INFO")
    logger.addFilter(fail)
    try:
        with background_process(["sh", "-c", "echo up; exec sleep 60"], output=logger) as process:
            wait_for(lambda: "up" in process.output_tail)
        assert not psutil.pid_exists(process.pid)
    finally:
        logger.removeFilter(fail)
