"""The demo's verdict is worth something only if it can fail."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from celery_graceful.demo import servers, work
from celery_graceful.demo.demo_verdict import Moments, Verdict, judge, text_of
from celery_graceful.demo.screen import Screen, screen

NAMES = [f"{n}.py" for n in range(30)]
SUMS = {"files": 30, "lines": 300, "digest": "abc"}
MOMENTS = Moments(began=0.0, terminated=1.0, exited=1.25, killed=2.0, ended=3.0)
FLUSH = 0.2


def entry(number: int, pid: int, at: float) -> work.Done:
    return work.Done(NAMES[number], pid, at)


def good() -> list[work.Done]:
    """Three processes, ten items each, ten items a second."""
    return [entry(n, 1 + n // 10, n / 10 + 0.05) for n in range(30)]


def judged(
    entries: list[work.Done], reported: dict[str, Any] | None = None, at: Moments = MOMENTS
) -> Verdict:
    return judge(work.Expected(NAMES, SUMS), reported or SUMS, entries, at, FLUSH)


def test_a_good_run_passes() -> None:
    verdict = judged(good())
    assert verdict.passed
    assert (verdict.lost, verdict.repeated_after_sigterm, verdict.repeated_after_sigkill) == (
        0,
        0,
        0,
    )
    assert verdict.seconds.sigterm_to_exit == 0.25
    assert verdict.seconds.sigterm_to_first_item == 0.05
    assert verdict.seconds.sigkill_to_first_item == 0.05
    assert verdict.as_data()["schema"] == 1
    assert "PASSED" in text_of(verdict)
    assert max(map(len, text_of(verdict).splitlines())) <= 100


def test_a_lost_item_fails_it() -> None:
    verdict = judged(good()[:-1])
    assert verdict.failures == ["1 item lost"]
    assert "FAILED" in text_of(verdict)


def test_a_repeat_after_a_graceful_stop_fails_it() -> None:
    verdict = judged([*good(), entry(9, 2, 1.01)])
    assert verdict.failures == ["1 item repeated after a graceful stop"]


def test_a_kill_may_repeat_what_ran_since_the_last_flush() -> None:
    repeated = [entry(n, 3, 2.01) for n in (17, 18, 19)]
    assert judged([*good(), *repeated]).passed
    failed = judged([*good(), *repeated, entry(16, 3, 2.01)])
    assert failed.may_repeat == 3
    assert "4 items repeated after the SIGKILL, more than the 3" in failed.failures[0]


def test_the_time_in_which_all_stood_still_before_the_kill_does_not_count() -> None:
    late = [one._replace(at=one.at + 60) if one.at > 2 else one for one in good()]
    at = replace(MOMENTS, killed=62.0, ended=63.0)
    repeated = [entry(n, 3, 62.01) for n in (18, 19)]
    assert judged([*late, *repeated], at=at).passed
    more = [entry(n, 3, 62.01) for n in (15, 16, 17)]
    assert not judged([*late, *repeated, *more], at=at).passed


def test_other_sums_fail_it() -> None:
    verdict = judged(good(), {**SUMS, "digest": "abd"})
    assert verdict.failures == ["digest: the run reported abd, a plain loop finds abc"]


def test_a_run_that_was_not_interrupted_fails_it() -> None:
    verdict = judged([entry(n, 1, n / 10 + 0.05) for n in range(30)])
    assert verdict.seconds.sigterm_to_first_item is None
    assert "not interrupted twice" in verdict.failures[0]


def test_the_task_and_the_plain_loop_agree(tmp_path: Path) -> None:
    from celery_graceful.demo.app import survey_files

    for name in ("b.py", "a/z.py", "a.py", "a-b/c.py", "site-packages/x.py", "c.txt"):
        path = tmp_path / "lib" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# {name}\n\n")
    notes = tmp_path / "ledger"
    expected = work.by_plain_loop(str(tmp_path / "lib"))
    assert survey_files(str(tmp_path / "lib"), str(notes), 0) == expected.sums
    reader = work.Notes(notes)
    reader.read()
    assert [each.name for each in reader.entries] == expected.names
    assert expected.names == ["a/z.py", "a-b/c.py", "a.py", "b.py"]


def test_a_ledger_is_followed_without_torn_lines(tmp_path: Path) -> None:
    reader = work.Notes(tmp_path / "ledger")
    reader.read()
    work.note(reader.path, "a")
    with open(reader.path, "a") as file:
        file.write('["b", 1,')
    reader.read()
    assert reader.names == {"a"}
    with open(reader.path, "a") as file:
        file.write(" 2.0]\n")
    reader.read()
    assert [each.name for each in reader.entries] == ["a", "b"]


def test_no_variable_of_another_celery_gets_in(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    monkeypatch.setenv("CELERY_BROKER_URL", "redis://production/0")
    with servers.environment(OWN="1"):
        assert "CELERY_BROKER_URL" not in os.environ
        assert os.environ["OWN"] == "1"
    assert os.environ["CELERY_BROKER_URL"] == "redis://production/0"
    assert "OWN" not in os.environ


def test_a_stream_that_is_no_terminal_gets_plain_lines() -> None:
    stream = io.StringIO()
    with screen(stream) as shown:
        assert type(shown) is Screen
        for done in range(0, 101, 5):
            shown.progress(done, 100, "carried by w")
    lines = stream.getvalue().splitlines()
    assert len(lines) == 10
    assert lines[0].endswith("10 of 100 files, carried by w")


def test_a_terminal_gets_a_live_bar() -> None:
    pytest.importorskip("rich")

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    with screen(stream) as shown:
        shown.say("begin [bold]")
        shown.progress(50, 100, "carried by w")
        shown.progress(100, 100, "carried by w")
    assert "begin [bold]" in stream.getvalue()
    assert "100/100" in stream.getvalue()
