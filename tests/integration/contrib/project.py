"""A Django project in a folder of its own, whose commands run in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

SETTINGS = """
SECRET_KEY = "tests"
INSTALLED_APPS = ["celery_graceful.contrib.django"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3"}}
CELERY_BROKER_URL = "memory://"
"""
CELERY = """
import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webshop.settings")
app = Celery("webshop")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
"""
INIT = "from .celery import app as celery_app\n"
MANAGE = """
import os
import sys

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webshop.settings")
from django.core.management import execute_from_command_line

execute_from_command_line(sys.argv)
"""


class Project:
    """A project ``webshop`` in the layout of Celery's documentation, with an app ``orders``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.write("webshop/__init__.py", INIT)
        self.write("webshop/celery.py", CELERY)
        self.write("webshop/settings.py", SETTINGS)
        self.write("orders/__init__.py", "")
        self.write("manage.py", MANAGE)

    def write(self, name: str, text: str) -> None:
        """Write a file of the project."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))

    def set(self, **settings: Any) -> None:
        """Add settings to the end of ``settings.py``."""
        with (self.folder / "webshop" / "settings.py").open("a") as file:
            for name, value in settings.items():
                file.write(f"{name} = {value!r}\n")

    def tasks(self, text: str) -> None:
        """Write the tasks of the app ``orders``, and install it."""
        self.write("orders/tasks.py", text)
        with (self.folder / "webshop" / "settings.py").open("a") as file:
            file.write('INSTALLED_APPS = [*INSTALLED_APPS, "orders"]\n')

    @property
    def env(self) -> dict[str, str]:
        """The environment of its processes."""
        env = {k: v for k, v in os.environ.items() if k != "DJANGO_SETTINGS_MODULE"}
        return {**env, "PYTHONPATH": os.pathsep.join((str(self.folder), *_tree()))}

    def run(self, *words: str, fails: bool = False) -> str:
        """Run Python with these arguments; what it printed, stderr included.

        Args:
            words: such as ``"manage.py", "check"``.
            fails: whether it is to end with an error.
        """
        done = subprocess.run(
            [sys.executable, "-W", "error::DeprecationWarning:celery_graceful", *words],
            cwd=self.folder,
            env=self.env,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=120,
            check=False,
        )
        assert (done.returncode != 0) is fails, done.stdout[-5000:]
        return done.stdout

    def python(self, code: str) -> str:
        """Run a program after ``django.setup()``."""
        setup = "import os; os.environ['DJANGO_SETTINGS_MODULE'] = 'webshop.settings'\n"
        ready = "import django; django.setup()\n"
        return self.run("-c", setup + ready + textwrap.dedent(code)).strip()


def _tree() -> list[str]:
    """Where the package is found, if it is not installed."""
    known = os.environ.get("PYTHONPATH")
    return [known] if known else []
