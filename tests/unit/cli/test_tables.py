"""Tables at several widths."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from celery_graceful.cli import graceful
from celery_graceful.cli.output import laid_out, natural_width
from celery_graceful.text.terminal import cell_width, wrapped

HEADINGS = ("task", "id", "state", "mode version", "age")
ROWS = [
    ("shop.tasks.catalogue.reindex_everything", "8f6f2c52", "interrupted, orphaned", "12", "12h"),
    ("日本語のタスク.名前", "8f6f2c53", "running", "0", "3s"),
]


def laid(width: int | None) -> list[str]:
    return list(laid_out(HEADINGS, ROWS, width, solid=("id",), spare=("age", "mode version")))


@pytest.mark.parametrize("width", [160, 120, 100, 80, 60, 50])
def test_it_fits_and_says_all_that_is_for_copying(width: int) -> None:
    lines = laid(width)
    assert max(map(cell_width, lines)) <= width
    for row in ROWS:
        assert any(row[1] in line.split() for line in lines)
        text = "".join(line.split("  ")[0].strip() for line in lines)
        assert row[0] in text


def test_a_wide_one_is_as_it_is_and_so_is_one_without_a_terminal() -> None:
    width = natural_width(HEADINGS, ROWS)
    assert laid(width) == laid(None) == laid(500)
    assert len(laid(width)) == 3
    assert len(laid(width - 1)) > 3
    assert max(map(cell_width, laid(None))) == width


def test_headings_are_wrapped_and_not_cut() -> None:
    head, more, *_ = laid(52)
    assert head.split() == ["task", "id", "state", "mode", "age"]
    assert more.split() == ["version"]


def test_columns_are_left_out_where_it_is_narrow() -> None:
    assert laid(47)[0].split() == ["task", "id", "state", "mode"]
    assert laid(40)[0].split() == ["task", "id", "state"]


def test_where_nothing_fits_each_row_is_a_block() -> None:
    lines = laid(30)
    assert lines[0] == f"task          {ROWS[0][0]}"
    assert lines[1] == "id            8f6f2c52"
    assert lines[5:7] == ["", f"task          {ROWS[1][0]}"]


def test_without_rows_there_are_headings() -> None:
    assert list(laid_out(HEADINGS, [], 80)) == ["task  id  state  mode version  age"]


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        ("one two three", 8, ["one two", "three"]),
        ("shop.tasks.reindex", 12, ["shop.tasks.", "reindex"]),
        ("reindexeverything", 10, ["reindexeve", "rything"]),
        ("日本語の名前", 5, ["日本", "語の", "名前"]),
        ("e\u0301" * 4, 4, ["e\u0301" * 4]),
        ("日", 1, ["日"]),  # no narrower
        ("", 5, [""]),
    ],
)
def test_where_a_text_is_broken(text: str, width: int, lines: list[str]) -> None:
    assert wrapped(text, width) == lines


@pytest.mark.parametrize("args", [[], ["--help"]])
def test_the_list_of_commands_is_not_cut_at_80_columns(
    args: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = CliRunner().invoke(graceful, args, obj=None).output
    assert "  resend   Send the message of a waiting run again.\n" in text
    assert "..." not in text.partition("Commands:")[2]
