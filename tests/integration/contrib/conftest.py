"""A Django project for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from .project import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """With the app in ``INSTALLED_APPS`` and a Celery app without ``Graceful(app)``."""
    return Project(tmp_path)
