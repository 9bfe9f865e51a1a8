"""The documentation tells the truth: its Python runs, its tables are in step, its links lead on."""

from __future__ import annotations

import inspect
import os
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import celery_graceful
from celery_graceful import errors, signals
from celery_graceful.cli import COMMANDS
from celery_graceful.tasks import IterableTask
from tests.unit import doc_names, doc_pages, doc_tables

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [page for page in doc_names.PAGES if page.suffix == ".md"]
PACKAGE = Path(celery_graceful.__file__).parent

_LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_CODE = re.compile(r"^```.*?^```$|`[^`\n]*`", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#+ (?P<title>.+)$", re.MULTILINE)


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def with_python() -> list[Path]:
    return [page for page in PAGES if list(doc_pages.blocks(page.read_text(encoding="utf-8")))]


@pytest.mark.parametrize("page", with_python(), ids=name_of)
def test_the_examples_run(page: Path, tmp_path: Path) -> None:
    # In a process of its own: tasks and apps stay registered as long as a process lives.
    done = subprocess.run(
        [sys.executable, "-W", "error", str(Path(doc_pages.__file__)), str(page)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(PACKAGE.parent)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


def test_hardly_any_example_is_left_out() -> None:
    left_out = {name_of(p): doc_pages.skipped(p.read_text(encoding="utf-8")) for p in PAGES}
    assert sum(left_out.values()) == 0, left_out


def test_blocks_are_found_with_their_lines() -> None:
    text = (
        "```python\na = 1\n```\n<!-- run\nassert a\n-->\n<!-- skip: why -->\n```python\nb\n```\n"
        "```sh\nls\n```\n"
    )
    assert list(doc_pages.blocks(text)) == [
        doc_pages.Block("a = 1\n", 2, False),
        doc_pages.Block("assert a\n", 5, False),
        doc_pages.Block("b\n", 9, True),
    ]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    text = _CODE.sub("", page.read_text(encoding="utf-8"))
    for link in _LINK.finditer(text):
        target, _, anchor = link["target"].partition("#")
        if "://" in target:
            continue
        found = (page.parent / target).resolve() if target else page
        assert found.exists(), f"{name_of(page)}: {link['target']} leads nowhere"
        if anchor:
            assert anchor in anchors(found), f"{name_of(page)}: no heading for {link['target']}"


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as code hosts make them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.DOTALL)
    titles = (match["title"].lower() for match in _HEADING.finditer(text))
    return {re.sub(r"[^\w\- ]", "", title).strip().replace(" ", "-") for title in titles}


def test_an_index_lists_every_page() -> None:
    for page in sorted(DOCS.rglob("*.md")):
        text = page.read_text(encoding="utf-8")
        if page == DOCS / "README.md" or text.startswith("```{include}"):
            continue
        indexes = [DOCS / "README.md", page.parent / "README.md"]
        assert any(
            f"({page.relative_to(index.parent)})" in index.read_text(encoding="utf-8")
            for index in indexes
            if index.exists()
        ), f"docs/README.md lacks {name_of(page)}"


# -- in step with the code -------------------------------------------------------------------


def reference(page: str) -> str:
    return (DOCS / page).read_text(encoding="utf-8")


def test_the_table_of_settings_is_in_step() -> None:
    assert doc_tables.settings() in reference("reference/settings.md")


def test_the_table_of_transitions_is_in_step() -> None:
    assert doc_tables.transitions() in reference("explanation/runs.md"), (
        f"replace the table by:\n{doc_tables.transitions()}"
    )


def test_the_table_of_verbs_is_that_of_the_code() -> None:
    assert doc_tables.verbs() in reference("reference/runs.md"), (
        f"replace the table by:\n{doc_tables.verbs()}"
    )


def test_every_signal_is_in_the_reference() -> None:
    page = reference("reference/signals.md")
    for name in signals.__all__:
        if name != "emit":
            assert f"`{name}`" in page


def test_every_error_is_in_the_reference() -> None:
    page = reference("reference/errors.md")
    for name in errors.__all__:
        assert f"`{name}`" in page


def test_every_command_and_its_options_are_in_the_reference() -> None:
    page = reference("reference/commands.md")
    for name in COMMANDS:
        assert f"## {name}\n" in page
        for option in doc_tables.options_of(name):
            assert f"`{option}`" in page


def test_everything_public_is_in_the_reference() -> None:
    page = reference("reference/tasks.md")
    for name in [*public(IterableTask), *celery_graceful.__all__, *celery_graceful.sources.__all__]:
        assert re.search(rf"\b{name}\b", page), f"docs/reference/tasks.md lacks {name}"


def public(cls: type) -> list[str]:
    """What a class itself defines for users; not what it changes in Celery's way of working."""
    inner = {
        "abstract",
        "Request",
        "start_strategy",
        "bind",
        "run",
        "body",
        "faults",
        "reports_started",
    }
    return [name for name in vars(cls) if not name.startswith("_") and name not in inner]


def test_everything_public_is_in_the_api_pages() -> None:
    page = reference("api/celery_graceful.md")
    for name in celery_graceful.__all__:
        documented = re.search(rf":: celery_graceful(\.\w+)*\.{name}$", page, re.MULTILINE)
        assert documented or (DOCS / "api" / f"{name}.md").exists(), f"docs/api/ lacks {name}"


def test_what_the_api_pages_document_is_there() -> None:
    for page in sorted((DOCS / "api").glob("*.md")):
        for name in re.findall(r"^\.\. auto\w+:: (\S+)$", page.read_text(), re.MULTILINE):
            pkgutil.resolve_name(name)


def test_the_architecture_names_every_room_and_no_other() -> None:
    page = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    rooms = {f"{p.name}/" for p in PACKAGE.iterdir() if (p / "__init__.py").exists()}
    modules = {p.name for p in PACKAGE.glob("*.py") if p.name != "__init__.py"}
    for room in sorted(rooms | modules):
        assert f"`{room}`" in page, f"ARCHITECTURE.md lacks {room}"
    picture = page.partition("```mermaid")[2].partition("```")[0]
    assert set(re.findall(r"\b\w+/", picture)) <= rooms


def test_the_pages_name_what_exists() -> None:
    """Dotted names of the package in code are real."""
    for page in PAGES:
        for name in re.findall(r"`celery_graceful\.([a-z_.]+)`", page.read_text(encoding="utf-8")):
            thing: object = celery_graceful
            for part in name.split("."):
                thing = getattr(thing, part, None) or __import__(
                    f"{getattr(thing, '__name__', '')}.{part}", fromlist=["_"]
                )
            assert inspect.ismodule(thing) or thing is not None
