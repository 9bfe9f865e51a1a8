"""A Django project gets the plugin by its line in ``INSTALLED_APPS``."""

from __future__ import annotations

from .project import CELERY, Project

PLUGGED = """
from celery_graceful.contrib.django.plugged_apps import is_plugged, project_apps
print(sorted((app.main, is_plugged(app)) for app in project_apps()))
"""


def test_the_app_that_the_project_has(project: Project) -> None:
    assert project.python(PLUGGED) == "[('webshop', True)]"


def test_an_app_that_is_made_after_django_is_ready(project: Project) -> None:
    project.write("webshop/__init__.py", "")
    late = "from webshop.celery import app; app.finalize()"
    assert project.python(late + PLUGGED) == "[('webshop', True)]"


def test_a_project_with_a_plugin_of_its_own_keeps_it(project: Project) -> None:
    more = "\nfrom celery_graceful import Graceful\nother = Celery('other')\nGraceful(app)\n"
    project.write("webshop/celery.py", CELERY + more)
    assert project.python(PLUGGED) == "[('other', False), ('webshop', True)]"


def test_several_apps_without_it(project: Project) -> None:
    project.write("webshop/celery.py", CELERY + "\nother = Celery('other')\n")
    assert project.python(PLUGGED) == "[('other', True), ('webshop', True)]"


def test_no_celery_app(project: Project) -> None:
    project.write("webshop/__init__.py", "")
    code = "import celery; celery.current_app.tasks\n"  # Celery makes one of its own then
    assert project.python(code + PLUGGED) == "[]"


def test_the_plugin_at_hand(project: Project) -> None:
    code = "from celery_graceful.contrib.django import graceful; print(graceful, graceful.runs)"
    assert project.python(code).startswith("<Graceful: webshop>")


def test_the_plugin_without_a_celery_app(project: Project) -> None:
    project.write("webshop/__init__.py", "")
    code = """
    try:
        from celery_graceful.contrib.django import graceful
    except RuntimeError as exc:
        print(exc)
    """
    assert "no Celery app in this process" in project.python(code)
