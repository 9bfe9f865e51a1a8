"""The key that signs sessions: shared by processes, and refused where it is not safe."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest
from celery import Celery

from celery_graceful.cli.web_server import Asked, _options
from celery_graceful.errors import SettingsError
from celery_graceful.web.dispatch import Screen
from celery_graceful.web.login.session_key import VARIABLE, session_key
from tests.unit.web.scene import Browser
from tests.unit.web.test_login import HASH, log_in

KEY = secrets.token_hex(32)


def written(path: Path, text: str, mode: int = 0o600) -> Path:
    file = path / "session.key"
    file.write_text(text)
    file.chmod(mode)
    return file


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o440, 0o640])
def test_a_key_is_read_without_its_line_end(tmp_path: Path, mode: int) -> None:
    file = written(tmp_path, f"{KEY}\n", mode)
    assert session_key(str(file), {VARIABLE: "another"}) == KEY.encode()
    assert session_key(None, {VARIABLE: KEY}) == KEY.encode()
    assert session_key(None, {}) is None


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o660, 0o622, 0o777])
def test_a_file_that_others_have_is_refused(tmp_path: Path, mode: int) -> None:
    file = written(tmp_path, KEY, mode)
    with pytest.raises(SettingsError, match=rf"others can (read|change).*{mode:04o}.*chmod 600"):
        session_key(str(file), {})


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ("", "is empty"),
        (" \n", "is empty"),
        ("a" * 31, "has 31 bytes, and needs 32"),
        ("a" * 64, "repeats"),
        ("password" * 8, "repeats"),
        ("0123456789" * 4 + "01", "repeats"),
        ("please-change-me-before-you-deploy-1", "placeholder"),
        ("django-insecure-8x!k2^q9zr$w7vy6tn@p3m#", "placeholder"),
        ("xy" + KEY * 80, "more than 4096"),
    ],
)
def test_a_weak_key_is_refused_and_not_shown(tmp_path: Path, key: str, why: str) -> None:
    for file, environ in ((str(written(tmp_path, key)), {}), (None, {VARIABLE: key})):
        with pytest.raises(SettingsError, match=why) as refused:
            session_key(file, environ)
        assert "openssl rand" in str(refused.value)
        assert not key.strip() or key not in str(refused.value)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    for file in (tmp_path, tmp_path / "none"):
        with pytest.raises(SettingsError, match="cannot be read"):
            session_key(str(file), {})


def test_a_login_is_good_at_each_process_with_the_key(app: Celery, tmp_path: Path) -> None:
    password = tmp_path / "ann"
    password.write_text(HASH)
    asked = Asked(auth=(f"ann:{password}",), session_key_file=str(written(tmp_path, KEY)))

    def process(asked: Asked, environ: dict[str, str]) -> Screen:
        return Screen(app, _options(asked, environ))

    browser = Browser(process(asked, {}), None, frozenset())
    log_in(browser)
    again = Asked(auth=asked.auth)
    for environ, status in (({VARIABLE: KEY}, 200), ({VARIABLE: KEY[::-1]}, 303), ({}, 303)):
        screen = process(again, environ)
        assert screen.answer(browser.request_for("GET", "/", browser.base.form)).status == status
