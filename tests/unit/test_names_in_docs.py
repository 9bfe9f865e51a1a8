"""What documents, messages and docstrings name is there: files, settings, variables, commands."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import click
import pytest

from celery_graceful._celery.message.headers import TAGS
from celery_graceful.cli import COMMANDS, graceful
from celery_graceful.settings.setting_table import SETTINGS
from celery_graceful.stores.sql.tab_indexes import TABS_OF_MYSQL
from celery_graceful.stores.sql.tables import metadata
from tests.unit import doc_names
from tests.unit.doc_names import PACKAGE, PAGES, ROOT

SOURCES = sorted(PACKAGE.rglob("*.py"))
#: Begin like a setting and are none: tables, a fixture, an attribute of the worker, a header.
INDEXES = {str(index.name) for table in metadata.tables.values() for index in table.indexes}
OTHERS = {*metadata.tables, *INDEXES, "graceful_checkpoints", "graceful_settings", "graceful_grace"}
OTHERS |= {TAGS, TABS_OF_MYSQL}

_SETTING = re.compile(r"(?<![\w./{-])(?:CELERY_GRACEFUL_|graceful_)[A-Za-z_]+[a-zA-Z](?![\w(])")
_VARIABLE = re.compile(r"(?<![\w])(?:CELERY_)?GRACEFUL_[A-Z_]+[A-Z]")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_file_that_a_page_names_is_there(page: Path) -> None:
    named = doc_names.files(page.read_text(encoding="utf-8"))
    missing = [name for name, line in named if not doc_names.exists(name, line, page)]
    assert missing == []


def test_a_file_that_is_not_there_is_found() -> None:
    page = ROOT / "ARCHITECTURE.md"
    here = "`worker/stopping/stop_signals.py`, `countdown.py`"
    line = f"| stops | {here}; `worker/no_such.py`, `absent.py` |"
    there = {name: doc_names.exists(name, line, page) for name, _ in doc_names.files(line)}
    assert there == {
        "worker/stopping/stop_signals.py": True,
        "countdown.py": True,
        "worker/no_such.py": False,
        "absent.py": False,
    }


def test_every_page_that_the_code_names_is_there() -> None:
    for path in [*SOURCES, ROOT / "Makefile", ROOT / "pyproject.toml", *PAGES]:
        text = path.read_text(encoding="utf-8")
        for name in re.findall(r"(?<![\w./])(?:docs|tests|benchmarks)/[\w/.-]+\.(?:md|py)", text):
            assert (ROOT / name).exists(), f"{name_of(path)} names {name}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_setting_that_a_page_names_is_one(page: Path) -> None:
    assert unknown_settings(page.read_text(encoding="utf-8")) == []


def test_every_setting_that_a_message_or_docstring_names_is_one() -> None:
    # Signatures, events and names of files have the prefix, too: only the words of a sentence.
    for path in SOURCES:
        for text in doc_names.texts_of(path.read_text(encoding="utf-8")):
            if " " in text:
                assert unknown_settings(text) == [], name_of(path)


def unknown_settings(text: str) -> list[str]:
    found = [name.removeprefix("CELERY_").lower() for name in _SETTING.findall(text)]
    return [name for name in found if name not in SETTINGS and name not in other_names()]


@cache
def other_names() -> set[str]:
    return OTHERS | {name.removeprefix("CELERY_").lower() for name in variables_of_code()}


@cache
def variables_of_code() -> set[str]:
    """The environment variables that the package and its tests read."""
    code = [*SOURCES, *(ROOT / "tests").rglob("*.py")]
    texts = (path.read_text(encoding="utf-8") for path in code)
    return {
        name for text in texts for name in re.findall(r'"((?:CELERY_)?GRACEFUL_[A-Z_]+)"', text)
    }


def test_every_variable_that_a_page_names_is_read() -> None:
    known = variables_of_code() | {f"CELERY_{name.upper()}" for name in SETTINGS}
    for page in PAGES:
        for name in _VARIABLE.findall(page.read_text(encoding="utf-8")):
            assert name in known, f"{name_of(page)} names {name}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_that_a_page_names_can_be_typed(page: Path) -> None:
    assert wrong_commands(page.read_text(encoding="utf-8")) == []


def test_every_command_that_a_message_names_can_be_typed() -> None:
    for path in SOURCES:
        for text in doc_names.texts_of(path.read_text(encoding="utf-8")):
            assert wrong_commands(text) == [], name_of(path)


def test_a_command_that_cannot_be_typed_is_found() -> None:
    text = "`graceful runs --state x` `graceful halt` `graceful status --wait`\n```sh\n"
    text += "celery -A shop graceful down --wait \\\n  --fast && echo --done  # --why\n```\n"
    assert wrong_commands(text) == ["halt", "status --wait", "down --fast"]


def wrong_commands(text: str) -> list[str]:
    wrong = []
    for name, options in doc_names.commands(text):
        if name not in COMMANDS:
            wrong.append(name)
            continue
        known = options_of(name)
        wrong += [f"{name} {option}" for option in options if option not in known]
    return wrong


def options_of(name: str) -> set[str]:
    command = graceful.get_command(click.Context(graceful), name)
    assert command is not None
    return {option for parameter in command.params for option in parameter.opts} | {"--help"}
