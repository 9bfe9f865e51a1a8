"""``--maintenance-force`` of a worker whose plugin Django adds later."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import click
import pytest
from click.testing import CliRunner

from celery_graceful.cli.options import FORCE, ForceOption


def run(monkeypatch: pytest.MonkeyPatch, installed: list[str], *words: str) -> Any:
    conf = SimpleNamespace(settings=SimpleNamespace(INSTALLED_APPS=installed))
    monkeypatch.setitem(sys.modules, "django.conf", conf)  # whatever settings other tests have
    seen: list[dict[str, Any]] = []
    command = click.Command("worker", params=[ForceOption()], callback=lambda **kw: seen.append(kw))
    done = CliRunner().invoke(command, words)
    return seen[0] if seen else done.output


def test_where_the_django_app_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = ["celery_graceful.contrib.django.apps.CeleryGracefulConfig"]
    assert run(monkeypatch, installed, FORCE) == {"maintenance_force": True}
    assert run(monkeypatch, installed) == {}


def test_where_it_is_not_there_is_no_such_option(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "No such option" in run(monkeypatch, ["orders"], FORCE)  # as click words it
    assert run(monkeypatch, ["orders"]) == {}
    assert FORCE not in run(monkeypatch, [], "--help")
