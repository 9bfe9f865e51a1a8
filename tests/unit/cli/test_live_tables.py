"""Live tables where there is no terminal, and what goes wrong meanwhile."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator

import pytest

from celery_graceful.cli.show.live import loop
from celery_graceful.cli.show.live.loop import watch
from celery_graceful.cli.show.live.screens import Screen, TerminalScreen, screen_here
from celery_graceful.cli.show.live.spans import Line, Span, line
from celery_graceful.errors import StoreUnavailable
from celery_graceful.runtime import Runtime
from tests.unit.cli.shop import ID, TASK, Run, begin
from tests.unit.trust.test_printable import UNSAFE

Frames = Callable[[int], None]


@pytest.fixture
def frames(monkeypatch: pytest.MonkeyPatch) -> Frames:
    """Somebody presses Ctrl-C after so many frames."""

    def of(number: int) -> None:
        left = iter(range(number))
        show = Screen.show

        def shown(screen: Screen, frame: list[Line]) -> None:
            if next(left, None) is None:
                raise KeyboardInterrupt
            show(screen, frame)

        monkeypatch.setattr(Screen, "show", shown)
        monkeypatch.setattr(loop, "LEAST_INTERVAL", 0.0)
        monkeypatch.setattr(loop, "_REST", 0.0)

    return of


def plain(seen: str, trouble: str, width: int | None, height: int | None) -> list[Line]:
    return [line(f"{seen} {trouble}".strip())]


def test_into_a_pipe_go_whole_frames_of_plain_text(
    call: Run, runtime: Runtime, frames: Frames
) -> None:
    begin(runtime)
    frames(2)
    done = call("runs", "--watch", "--interval", "1ms")
    assert done.exit_code == 130
    first, second = done.stdout.split("\n\nRuns of shop")
    for frame in (first, second):
        assert "1 active, 0 paused, 0 failed, 0 ended" in frame
        assert f"{TASK}  {ID}" in frame
    assert not UNSAFE.search(done.stdout.replace("\n", ""))


def test_the_status_as_well(call: Run, runtime: Runtime, frames: Frames) -> None:
    frames(1)
    done = call("status", "--watch")
    assert done.exit_code == 130
    assert "No worker is there." in done.stdout


def test_filters_are_in_the_title(call: Run, runtime: Runtime, frames: Frames) -> None:
    begin(runtime)
    frames(1)
    shown = call("runs", "--watch", "--state", "running", "--task", "shop.none").stdout
    assert "Runs of shop, state running, task shop.none" in shown
    assert "No runs." in shown


def test_a_store_that_goes_away_is_in_the_frame(
    frames: Frames, capsys: pytest.CaptureFixture[str]
) -> None:
    answers: Iterator[str | Exception] = iter(
        ["first", StoreUnavailable("redis://:secret@r/0: refused"), "later", ""]
    )

    def look() -> str:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    frames(3)
    with pytest.raises(KeyboardInterrupt):
        watch(look, plain, 0.0)
    first, away, later = (text for text in capsys.readouterr().out.split("\n\n") if text)
    assert (first.strip(), later.strip()) == ("first", "later")
    assert away.startswith("first The store has not answered since ")
    assert "secret" not in away


def test_a_store_that_is_away_at_first_ends_the_command(
    call: Run, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise StoreUnavailable("it does not answer")

    monkeypatch.setattr(type(runtime.store), "browse", refused)
    done = call("runs", "--watch")
    assert (done.exit_code, done.stdout) == (69, "")
    assert "it does not answer" in done.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("runs", "--watch", "--json"), "give one of them"),
        (("status", "--watch", "--json"), "give one of them"),
        (("runs", "--interval", "2s"), "--interval is for --watch"),
        (("runs", "--watch", "--interval", "soon"), "not a duration"),
        (("runs", "8f6f2c52"), "graceful show 8f6f2c52"),
        (("runs", "--since", "yesterday"), "not a duration"),
        (("runs", "--state", "lost"), "is none of active"),
    ],
)
def test_what_does_not_go_together(call: Run, words: tuple[str, ...], told: str) -> None:
    done = call(*words)
    assert done.exit_code == 2
    assert told in done.stderr


# -- screens ------------------------------------------------------------------------------------


def drawn(screen: TerminalScreen, frame: list[Line], out: io.StringIO) -> str:
    out.seek(0)
    out.truncate()
    screen.show(frame)
    return out.getvalue()


def test_only_lines_that_changed_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    with TerminalScreen() as screen:
        frame = [line("one"), (Span("two", "bad"), Span(" 2")), line("three")]
        assert drawn(screen, frame, out).count("\x1b[K") == 3
        assert drawn(screen, frame, out) == ""
        changed = drawn(screen, [frame[0], line("2"), frame[2]], out)
        assert "\x1b[2;1H2\x1b[K" in changed
        assert "one" not in changed
        assert drawn(screen, frame[:1], out) == "\x1b[?2026h\x1b[2;1H\x1b[J\x1b[?2026l"
        screen.redraw()
        assert drawn(screen, frame[:1], out).startswith("\x1b[?2026h\x1b[2J")
        out.truncate(0)
    assert out.getvalue().endswith("\x1b[?1049lone\n")


@pytest.mark.parametrize("term", ["dumb", "unknown", ""])
def test_a_terminal_that_moves_no_cursor_gets_plain_frames(
    monkeypatch: pytest.MonkeyPatch, term: str
) -> None:
    monkeypatch.setenv("TERM", term)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert type(screen_here()) is Screen


def test_without_rich_frames_are_plain_and_it_is_said_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setitem(sys.modules, "rich.console", None)
    assert type(screen_here()) is Screen
    assert "pip install 'celery-graceful[cli]'" in capsys.readouterr().err
