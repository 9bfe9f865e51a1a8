"""The tests of a Django project, by pytest-django and by Django's own runner."""

from __future__ import annotations

import pytest

from .project import Project

TASKS = """
from celery_graceful import iterable_task
from django.contrib.contenttypes.models import ContentType

@iterable_task
def fill(count, *, cursor=-1):
    for number in range(cursor + 1, count):
        ContentType.objects.create(app_label="orders", model=f"model{number}")
        yield number
"""
TESTS = """
from django.contrib.contenttypes.models import ContentType
from django.test import TestCase, TransactionTestCase

from orders.tasks import fill

def filled():
    return ContentType.objects.filter(app_label="orders").count()

class Within(TestCase):
    def test_eagerly(self):
        fill.delay(3)
        self.assertEqual(filled(), 3)

    def test_on_commit(self):
        with self.captureOnCommitCallbacks(execute=True):
            fill.delay_on_commit(2)
            self.assertEqual(filled(), 0)
        self.assertEqual(filled(), 2)

class Committed(TransactionTestCase):
    def test_eagerly(self):
        fill.delay(4)
        self.assertEqual(filled(), 4)
"""


@pytest.mark.matrix
@pytest.mark.parametrize(
    "words",
    [
        ("-m", "pytest", "-p", "pytest_django", "--ds=webshop.settings", "orders/tests.py"),
        ("manage.py", "test"),
    ],
    ids=["pytest", "django"],
)
def test_tasks_run_at_once_and_runs_are_kept_in_memory(
    project: Project, words: tuple[str, ...]
) -> None:
    project.tasks(TASKS)
    project.write("orders/tests.py", TESTS)
    project.set(
        INSTALLED_APPS=["django.contrib.contenttypes", "celery_graceful.contrib.django", "orders"],
        CELERY_TASK_ALWAYS_EAGER=True,
        CELERY_TASK_EAGER_PROPAGATES=True,
        CELERY_GRACEFUL_STORE="memory://",
    )
    printed = project.run(*words)
    assert "3 passed" in printed or "Ran 3 tests" in printed
