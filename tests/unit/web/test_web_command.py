"""``graceful web``: what it refuses before it listens."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from celery import Celery
from click.testing import CliRunner, Result

from celery_graceful.cli import graceful
from celery_graceful.cli.web_server import Asked, _options


def call(app: Celery, *words: str, text: str = "") -> Result:
    context = SimpleNamespace(app=app)
    return CliRunner().invoke(
        graceful, ["web", *words], obj=context, input=text, catch_exceptions=False
    )


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--allow-actions"], "needs a login"),
        (["--host", "0.0.0.0"], "others could read"),
        (["--host", "::"], "others could read"),
        (["--host", "shop.example"], "others could read"),
        (["--auth", "ann:/no/such/file"], "cannot be read"),
        (["--trusted-proxy", "10.0.0.0/99"], "no network"),
        (["--trusted-proxy", "*"], "such as 10.42.0.0/16"),
        (["--trusted-proxy", "0.0.0.0/0"], "everybody could say"),
        (["--session-key-file", "/no/such/file"], "add --auth"),
    ],
)
def test_what_is_not_safe_is_refused(
    app: Celery, tmp_path: Path, words: list[str], why: str
) -> None:
    app.conf.graceful_store = f"sqlite:///{tmp_path / 'runs.sqlite3'}"
    done = call(app, *words)
    assert done.exit_code == 2
    assert why in done.stderr


def test_a_password_becomes_a_hash(app: Celery, tmp_path: Path) -> None:
    done = call(app, "--hash-password", text="right\nright\n")
    assert done.exit_code == 0
    file = tmp_path / "ann"
    file.write_text(done.stdout)
    options = _options(
        Asked(
            host="0.0.0.0", allow_actions=True, auth=(f"ann:{file}",), allowed=(".shop.example",)
        ),
        {},
    )
    assert options.accounts is not None
    assert options.accounts.check("ann", "right")
    assert not options.accounts.check("ann", "wrong")
    assert not options.accounts.check("bob", "right")
    assert set(options.hosts or ()) == {"localhost", "127.0.0.1", "::1", ".shop.example"}
    assert not options.read_only


def test_it_is_read_only_by_default() -> None:
    options = _options(Asked(), {})
    assert options.accounts is None
    assert "without --allow-actions" in options.read_only


def test_missing_packages_are_named_with_what_to_install(
    app: Celery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("celery_graceful.web.shell.wsgi.find_spec", lambda name: None)
    done = call(app, "--hash-password")
    assert done.exit_code == 2
    assert "pip install 'celery-graceful[web]'" in done.stderr
