"""The tour of the screen shows every page, in pictures that are there and small."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from celery_graceful.web.routes import ROUTES

DOCS = Path(__file__).resolve().parents[2] / "docs"
TOUR = DOCS / "how-to" / "screen-tour.md"
PICTURES = DOCS / "_static" / "screen"
#: Bytes of all pictures.
MOST = 1_500_000


def test_each_page_has_its_part_of_the_tour() -> None:
    headings = set(re.findall(r"^## (.+)$", TOUR.read_text(), re.MULTILINE))
    assert {route.name for route in ROUTES if route.name} | {"A run", "Log in"} <= headings


def test_pictures_are_there_small_and_described() -> None:
    shown = re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", TOUR.read_text())
    assert shown
    for text, path in shown:
        assert len(text) > 20, path
        assert (TOUR.parent / path).is_file(), path
    assert sum(path.stat().st_size for path in PICTURES.iterdir()) < MOST


@pytest.mark.parametrize("variant", ["light-1280", "dark-1280", "light-360", "dark-360"])
def test_each_page_was_taken_light_and_dark_wide_and_narrow(variant: str) -> None:
    shown = re.findall(r"screen/(\w+)-(?:light|dark)", TOUR.read_text())
    for name in set(shown):
        assert (PICTURES / f"{name}-{variant}.webp").is_file(), name
