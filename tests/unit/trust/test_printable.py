"""What others wrote is harmless where it is shown: in a terminal, a table, a log, JSON."""

from __future__ import annotations

import json
import logging
import re
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import celery_graceful
from celery_graceful.cli.output import print_json, print_pairs, print_table, say
from celery_graceful.text.log_lines import NAMES
from celery_graceful.text.printable import printable, printable_json, printable_lines

#: Escape sequences, new lines, a bell, the 8-bit CSI, direction, lone surrogates, a null.
EVIL = "\x1b[31m[red]\r\n\x07\x9b2J\u202e\udce9\ud800\x00\u2028\x7f"
UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def test_an_evil_text() -> None:
    shown = printable(EVIL)
    assert not UNSAFE.search(shown)
    assert shown.startswith(r"\x1b[31m[red]\r\n\x07\x9b2J")
    assert printable("caf\udce9") == r"caf\xe9"


@pytest.mark.parametrize("text", ["", "deploy 42", "café – “x” 日本語 🙂", "👩\u200d🚒"])
def test_a_harmless_text_stays_as_it_is(text: str) -> None:
    assert printable(text) == printable_lines(text) == printable_json(text) == text


@given(st.text(st.characters(), max_size=60))
def test_any_text(text: str) -> None:
    for shown in (printable(text), *printable_lines(text).split("\n")):
        assert not UNSAFE.search(shown)
        shown.encode()
    assert printable(printable(text)) == printable(text)
    data = printable_json(json.dumps({"a": [text]}, indent=1, ensure_ascii=False))
    assert json.loads(data) == {"a": [text]}
    assert not UNSAFE.search(data.replace("\n", ""))


def test_lines_that_are_kept_are_set_in() -> None:
    assert printable_lines("a\n[ERROR] b\r\nc\x1b", "  ") == "a\n  [ERROR] b\n  c\\x1b"


# -- commands ------------------------------------------------------------------------------------


def test_tables_lines_and_json(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("a", "b"), [(EVIL, "x"), ("y", "z")])
    print_pairs([("a", EVIL)])
    say(EVIL)
    say(EVIL, err=True)
    shown = capsys.readouterr()
    assert not UNSAFE.search((shown.out + shown.err).replace("\n", ""))
    assert shown.out.count("\n") == 5
    print_json(1, reason=EVIL)
    data = capsys.readouterr().out
    assert json.loads(data)["reason"] == EVIL
    assert not UNSAFE.search(data.replace("\n", ""))


def test_a_table_in_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setattr("sys.stdout", screen)
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("COLUMNS", "200")
    print_table(("a",), [("[red]x[/red] [link=http://e]y[/link]" + EVIL,)])
    assert "[red]x[/red] [link=http://e]y[/link]" in screen.getvalue()
    assert not UNSAFE.search(screen.getvalue().replace("\n", ""))


def test_a_terminal_that_lacks_a_character(monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    data = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(data, "latin-1", write_through=True))
    say("nothing – at all")
    assert data.getvalue() == b"nothing \\u2013 at all\n"


def test_commands_write_in_one_place_only() -> None:
    folder = Path(celery_graceful.__file__).parent / "cli"
    others = [
        path.name
        for path in folder.glob("*.py")
        if path.name != "output.py" and "click.echo" in path.read_text()
    ]
    assert others == []


# -- logs ----------------------------------------------------------------------------------------


def test_a_log_line_stays_one(caplog: pytest.LogCaptureFixture) -> None:
    log = logging.getLogger("celery_graceful.runs")
    log.warning("%s of %r, %d times: %.5s", EVIL, EVIL, 3, "abcdefgh")
    log.warning(f"ended {EVIL}")
    log.warning("%s failed: %s", "id", ValueError("redis://u:hunter2@h/0\n[ERROR] x"))
    log.warning("%r failed", ValueError("redis://u:hunter2@h/0\n[ERROR] x"))
    first, second, third, fourth = (record.getMessage() for record in caplog.records)
    assert not UNSAFE.search(first)
    assert first.endswith("3 times: abcde")
    assert not UNSAFE.search(second.replace("\n    ", ""))
    assert third == "id failed: redis://u:***@h/0\n    [ERROR] x"
    assert "\n" not in fourth
    assert "hunter2" not in fourth


def test_a_traceback_in_a_log_has_no_line_of_others() -> None:
    log, written = logging.getLogger("celery_graceful.web"), StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    log.addHandler(handler)
    try:
        raise ValueError("x\nERROR owned\x1b[31m redis://:secret@host/0\u202e")
    except ValueError:
        log.exception("It failed")
    finally:
        log.removeHandler(handler)
    lines = written.getvalue().splitlines()
    assert [line for line in lines if line[:1].strip()] == lines[:2]  # the others are set in
    assert "    ERROR owned" in written.getvalue()
    assert "secret" not in written.getvalue()
    assert not any(UNSAFE.search(line) for line in lines)


def test_every_logger_is_known() -> None:
    """A filter is asked by the logger that is called, and by none above it."""
    root = Path(celery_graceful.__file__).parent
    used = set()
    for path in root.rglob("*.py"):
        module = ".".join(path.relative_to(root.parent).with_suffix("").parts)
        for name in re.findall(r"getLogger\(([^)]+)\)", path.read_text()):
            if name == "__name__":
                used.add(module.removesuffix(".__init__"))
            elif name.startswith('"celery_graceful.'):
                used.add(name.strip('"'))
    assert used <= set(NAMES), sorted(used - set(NAMES))
