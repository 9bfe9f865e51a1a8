"""Forms that are made from the signature of a task."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from datetime import date, datetime, time, timezone
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, NewType, Optional
from uuid import UUID

import pytest
from celery import Celery

from celery_graceful import Graceful, IterableTask
from celery_graceful.errors import DefinitionError
from celery_graceful.views.start_form.docstrings import arguments_in, summary_of
from celery_graceful.views.start_form.form import Field, Form, make_form, startable
from celery_graceful.views.start_form.kinds import Kind


class Color(enum.Enum):
    RED = "r"
    BLUE = "b"


Key = NewType("Key", int)


class Doc:
    """As of PEP 727, with bounds."""

    def __init__(self, documentation: str) -> None:
        self.documentation = documentation
        self.ge, self.le = 1, 9


@pytest.fixture
def app() -> Iterator[Celery]:
    app = Celery("shop", broker="memory://", set_as_current=False)
    app.conf.update(graceful_store="memory://", timezone="Europe/Berlin")
    Graceful(app)
    yield app
    app.close()


@pytest.fixture
def form_of(app: Celery) -> Callable[[Callable[..., Any]], Form]:
    def make(function: Callable[..., Any]) -> Form:
        task = app.task(base=IterableTask, shared=False, name="shop.walk")(function)
        return make_form(app.tasks[task.name])

    return make


def only(form: Form) -> Field:
    (field,) = form.arguments
    return field


@pytest.mark.parametrize(
    ("hint", "kind", "nullable"),
    [
        (str, Kind.TEXT, False),
        (int, Kind.WHOLE, False),
        (Key, Kind.WHOLE, False),
        (float, Kind.NUMBER, False),
        ("int | float", Kind.NUMBER, False),
        (bool, Kind.YES_NO, False),
        (Optional[bool], Kind.YES_NO, True),  # noqa: UP045
        (date, Kind.DATE, False),
        (datetime, Kind.DATETIME, False),
        ("datetime | None", Kind.DATETIME, True),
        (time, Kind.TIME, False),
        (Decimal, Kind.DECIMAL, False),
        (UUID, Kind.UUID, False),
        (Path, Kind.PATH, False),
        ("str | Path", Kind.PATH, False),
        (Color, Kind.CHOICE, False),
        (Literal["a", 1, None], Kind.CHOICE, True),
        ("list[int]", Kind.JSON, False),
        ("dict[str, list[Color]] | None", Kind.JSON, True),
        (bytes, Kind.JSON, False),
        (Any, Kind.JSON, False),
        ("Unknown", Kind.JSON, False),
        ("no.such[name", Kind.JSON, False),
        ("1 / 0", Kind.JSON, False),
    ],
    ids=str,
)
def test_a_type_hint_makes_a_field(
    form_of: Callable[..., Form], hint: Any, kind: Kind, nullable: bool
) -> None:
    def walk(x, *, cursor=None):  # type: ignore[no-untyped-def]
        yield x

    walk.__annotations__["x"] = hint
    field = only(form_of(walk))
    assert (field.kind, field.nullable, field.required) == (kind, nullable, not nullable)


@pytest.mark.parametrize(
    ("default", "kind", "text"),
    [
        ("a", Kind.TEXT, "a"),
        (5, Kind.WHOLE, "5"),
        (0.5, Kind.NUMBER, "0.5"),
        (True, Kind.YES_NO, "yes"),
        (None, Kind.JSON, None),
        ([1, "x"], Kind.JSON, '[1, "x"]'),
        ((1,), Kind.JSON, None),
        (Decimal("1.50"), Kind.DECIMAL, "1.50"),
        (Color.BLUE, Kind.CHOICE, "1"),
        (date(2026, 1, 2), Kind.DATE, "2026-01-02"),
        (datetime(2026, 1, 2, 12, tzinfo=timezone.utc), Kind.DATETIME, "2026-01-02T13:00:00"),
        (datetime(2026, 1, 2, 12), Kind.DATETIME, "2026-01-02T12:00:00"),
        (float("nan"), Kind.NUMBER, None),
        pytest.param(object(), Kind.JSON, None, id="an object"),
    ],
    ids=repr,
)
def test_without_a_hint_the_default_says_what_it_is(
    form_of: Callable[..., Form], default: Any, kind: Kind, text: str | None
) -> None:
    def walk(x=default, *, cursor=None):  # type: ignore[no-untyped-def]
        yield x

    field = only(form_of(walk))
    assert (field.kind, field.default_text, field.required) == (kind, text, False)


@pytest.mark.parametrize("name", ["path", "csv_path", "file", "filename"])
@pytest.mark.parametrize("hint", [str, None])
def test_a_text_with_the_name_of_a_path_is_one(
    form_of: Callable[..., Form], name: str, hint: Any
) -> None:
    space: dict[str, Any] = {}
    exec(f"def walk({name}, *, cursor=None):\n    yield 1", space)
    if hint is not None:
        space["walk"].__annotations__[name] = hint
    assert only(form_of(space["walk"])).kind is Kind.PATH


def test_docstrings_help(form_of: Callable[..., Form]) -> None:
    def walk(
        since: date, size: Annotated[int, Doc("rows at once")] = 5, *, cursor: Any = None
    ) -> Iterator[date]:
        """Walk over all.

        Slowly.

        Args:
            since: of what day
                the first one is.
            cursor: the last id.
        """
        yield since

    form = form_of(walk)
    since, size = form.arguments
    assert form.about == "Walk over all.\n\nSlowly."
    assert since.help == "of what day the first one is."
    assert (size.help, size.type, size.least, size.most) == ("rows at once", "int", "1", "9")
    assert "the last id" in next(f.help for f in form.options if f.name == "cursor")


def test_docstrings_in_other_forms() -> None:
    parts = ("Sum.\n", "Parameters", "----------", "a, b : int", "    Both.", "c", "    Third.\n")
    numpy = "\n".join((*parts, "Returns", "-------", "x"))
    assert summary_of(numpy) == "Sum."
    assert arguments_in(numpy) == {"a": "Both.", "b": "Both.", "c": "Third."}
    sphinx = "Sum.\n\n:param int a: first\n    of all\n:param b: second\n:returns: x"
    assert summary_of(sphinx) == "Sum."
    assert arguments_in(sphinx) == {"a": "first of all", "b": "second"}
    assert arguments_in(None) == {}
    assert summary_of("Note that: this is text, not a section") == (
        "Note that: this is text, not a section"
    )


def test_a_dry_run_is_offered_where_the_task_offers_it(form_of: Callable[..., Form]) -> None:
    def walk(x: int, *, cursor: Any = None, dry_run: bool = False) -> Iterator[int]:
        yield x

    form = form_of(walk)
    assert [f.name for f in form.arguments] == ["x"]
    assert "dry_run" in [f.name for f in form.options]

    def plain(x: int, *, cursor: Any = None) -> Iterator[int]:
        yield x

    other = app_task(form, plain)
    assert "dry_run" not in [f.name for f in other.options]
    assert other.fingerprint != form.fingerprint


def app_task(form: Form, function: Callable[..., Any]) -> Form:
    app = form.task.app
    return make_form(app.task(base=IterableTask, shared=False, name="shop.other")(function))


def test_a_class_has_the_arguments_of_its_enumerator(app: Celery) -> None:
    class Import(IterableTask):
        """Imports a file."""

        name = "shop.import"

        def build_enumerator(self, path: str, /, size: int = 3, *, cursor: Any) -> Any:
            """Rows.

            Args:
                path: of the file.
            """
            return []

        def each_iteration(self, row: Any, *args: Any, dry_run: bool = False) -> None: ...

    app.register_task(Import())
    form = make_form(app.tasks["shop.import"])
    assert [(f.name, f.help) for f in form.arguments] == [("path", "of the file."), ("size", "")]
    assert form.about == "Imports a file."
    assert "shop.import" in startable(app)


def test_a_faulty_task_has_no_form(form_of: Callable[..., Form]) -> None:
    def walk(x):  # type: ignore[no-untyped-def]
        yield x

    with pytest.raises(DefinitionError, match="cursor"):
        form_of(walk)
