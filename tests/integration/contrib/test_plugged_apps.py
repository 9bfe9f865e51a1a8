"""A Django project gets the plugin by its line in ``INSTALLED_APPS``."""

from __future__ import annotations

import textwrap

import pytest

from .project import CELERY, Project

PLUGGED = """
from celery_graceful.contrib.django.plugged_apps import is_plugged, project_apps
print(sorted((app.main, is_plugged(app)) for app in project_apps()))
"""


PLUGIN = """
try:
    from celery_graceful.contrib.django import graceful
    print(graceful, graceful.runs is not None)
except RuntimeError as exc:
    print(exc)
"""


def test_the_app_that_the_project_has(project: Project) -> None:
    found = "[('webshop', True)]\n<Graceful: webshop> True"
    assert project.python(PLUGGED + PLUGIN) == found


def test_an_app_that_is_made_after_django_is_ready(project: Project) -> None:
    project.write("webshop/__init__.py", "")
    late = "from webshop.celery import app; app.finalize()"
    printed = project.python(PLUGIN + late + PLUGGED)
    assert "no Celery app in this process" in printed
    assert "[('webshop', True)]" in printed


def test_a_project_with_a_plugin_of_its_own_keeps_it(project: Project) -> None:
    more = "\nfrom celery_graceful import Graceful\nother = Celery('other')\nGraceful(app)\n"
    project.write("webshop/celery.py", CELERY + more)
    assert project.python(PLUGGED) == "[('other', False), ('webshop', True)]"


@pytest.mark.matrix
def test_several_apps_without_it(project: Project) -> None:
    project.write("webshop/celery.py", CELERY + "\nother = Celery('other')\n")
    assert project.python(PLUGGED) == "[('other', True), ('webshop', True)]"


@pytest.mark.matrix
def test_no_celery_app(project: Project) -> None:
    project.write("webshop/__init__.py", "")
    code = """
    import celery
    celery.current_app.tasks  # Celery makes an app of its own then
    """
    assert project.python(textwrap.dedent(code) + PLUGGED) == "[]"
