"""Servers and workers for all tests, and an end that leaves no process behind."""

from __future__ import annotations

import gc
import os
import signal
import statistics
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import hypothesis
import pytest

from tests.harness import Ledger, Worker
from tests.harness.worker import forget_started, started
from tests.order import refuse_addresses, reorder
from tests.selection import add_option, deselect

# A machine that others use as well is slow now and then.
hypothesis.settings.register_profile("shared", deadline=None)
hypothesis.settings.load_profile("shared")

pytest_plugins = ["tests.servers.fixtures"]


def pytest_addoption(parser: pytest.Parser) -> None:
    add_option(parser)


@pytest.hookimpl(tryfirst=True)  # before -m looks at the markers
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    deselect(config, items)
    reorder(config, items)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if isinstance(collector, pytest.Module | pytest.Class):
        refuse_addresses(report)
    return report


def pytest_collection_finish(session: pytest.Session) -> None:
    """Collected tests stay as long as the run: no garbage collection needs to look at them."""
    gc.collect()
    gc.freeze()


def pytest_configure(config: pytest.Config) -> None:
    """Let SIGTERM end the run as Ctrl-C does, so that fixtures stop their servers."""
    runner = os.getpid()

    def end(number: int, frame: FrameType | None) -> None:
        if os.getpid() == runner:
            pytest.exit("SIGTERM", returncode=128 + number)
        signal.signal(number, signal.SIG_DFL)  # a forked child dies of it as always
        os.kill(os.getpid(), number)

    signal.signal(signal.SIGTERM, end)


@pytest.fixture(autouse=True)
def _no_worker_is_left() -> Iterator[None]:
    yield
    forget_started()


@pytest.fixture(autouse=True)
def _no_message_is_left() -> Iterator[None]:
    """The queues of ``memory://`` are the process's: the next test would take what is left."""
    yield
    memory = sys.modules.get("kombu.transport.memory")
    if memory is not None:
        memory.Channel.queues.clear()
        memory.Transport.global_state.clear()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the logs of the test's workers with its failure."""
    report = yield
    if report.failed:
        for worker in started:
            report.sections.append((f"log of worker {worker.name}", worker.log()))
    return report


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """An empty ledger; give its ``path`` to the workers."""
    return Ledger(tmp_path / "ledger.jsonl")


@pytest.fixture
def start_worker(tmp_path: Path) -> Callable[..., Worker]:
    """A function that starts a worker with its log in ``tmp_path``; arguments as ``Worker``."""

    def start(app: str, **options: Any) -> Worker:
        options.setdefault("logfile", tmp_path / f"worker-{len(started)}.log")
        return Worker(app, **options).start()

    return start


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the times that were measured, in whichever process.

    Here, since the process that runs those of the tests knows no conftest further down.
    """
    figures: dict[str, list[float]] = {}
    for report in (one for reports in terminalreporter.stats.values() for one in reports):
        if getattr(report, "when", None) == "call":
            for what, seconds in report.user_properties:
                figures.setdefault(what, []).append(seconds)
    if not figures:
        return
    terminalreporter.section("measured times in seconds")
    width = max(len(what) for what in figures)
    terminalreporter.write_line(f"{'':{width}}      n  median   worst")
    for what, seconds in sorted(figures.items()):
        terminalreporter.write_line(
            f"{what:{width}}  {len(seconds):5}  {statistics.median(seconds):6.3f}"
            f"  {max(seconds):6.3f}"
        )
