"""The page on the doctor is in step with the checks."""

from __future__ import annotations

import re
from pathlib import Path

from celery_graceful.doctor.checks import ALL
from tests.unit import doc_tables

PAGE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "doctor.md"


def test_the_page_has_the_table_of_all_checks() -> None:
    assert doc_tables.checks() in PAGE.read_text(encoding="utf-8")


def test_every_check_says_why_and_what_to_do() -> None:
    for check in ALL:
        assert re.fullmatch(r"GD\d{3}", check.id)
        assert check.about
        assert check.why.endswith((".", ")")), check.id
        assert check.fix, check.id
