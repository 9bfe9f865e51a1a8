"""Stores of other packages: by an entry point, as an installed package has it, or a dotted path."""

from __future__ import annotations

import sys
from pathlib import Path
from textwrap import dedent

import pytest
from celery import Celery

from celery_graceful.errors import SettingsError
from celery_graceful.runtime import runtime_of
from celery_graceful.stores.base import Store
from celery_graceful.stores.memory_store import MemoryStore
from celery_graceful.stores.url import open_store

MODULE = """
    from celery_graceful.stores.memory_store import MemoryStore

    class Mongo(MemoryStore):
        def __init__(self, url, namespace, *, timeout, options):
            super().__init__()
            self.given = url, namespace, timeout, options

    def refuses(url, namespace, *, timeout, options):
        raise ValueError(f"what is {url}?")

    def half(url, namespace, *, timeout, options):
        return object()
"""
ENTRIES = """
    [celery_graceful.stores]
    mongodb+mypkg = mongo_store_of_a_test:Mongo
    gone+mypkg = mongo_store_of_a_test:Gone
    half+mypkg = mongo_store_of_a_test:half
"""


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package as pip installs it: a module, and its metadata beside it."""
    (tmp_path / "mongo_store_of_a_test.py").write_text(dedent(MODULE))
    info = tmp_path / "mypkg-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mypkg\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(dedent(ENTRIES))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "mongo_store_of_a_test", raising=False)


@pytest.mark.parametrize(
    ("url", "handed_over"),
    [
        ("mongodb+mypkg://me:hidden@h/db", "mongodb+mypkg://me:hidden@h/db"),
        ("MongoDB+mypkg://h", "MongoDB+mypkg://h"),
        ("mongo_store_of_a_test.Mongo+mongodb://me:hidden@h/db", "mongodb://me:hidden@h/db"),
        ("mongo_store_of_a_test:Mongo+mongodb://h", "mongodb://h"),
    ],
)
def test_a_store_of_another_package(url: str, handed_over: str) -> None:
    app = Celery("shop", set_as_current=False)
    app.conf.update(
        graceful_store=url,
        graceful_store_timeout=1.5,
        graceful_namespace="shop",
        graceful_store_options={"tls": True},
    )
    runtime = runtime_of(app)
    store = runtime.store
    assert isinstance(store, Store)
    assert store.given == (handed_over, "shop", 1.5, {"tls": True})  # type: ignore[attr-defined]
    assert "hidden" not in runtime.store_address
    assert runtime.store_address.startswith(url.partition("://")[0])
    assert runtime.store_files() == []


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("mongodb://me:hidden@h", r"entry point \(celery_graceful.stores\)"),
        ("gone+mypkg://me:hidden@h", "mongo_store_of_a_test:Gone .* cannot be imported"),
        ("half+mypkg://me:hidden@h", "made a object, without check, "),
        ("mongo_store_of_a_test.refuses+x://me:hidden@h", r"raised ValueError: what is x://me:\*"),
        ("mongo_store_of_a_test.Gone+x://me:hidden@h", "Gone cannot be imported"),
        ("no.such.module:Gone+x://me:hidden@h", "no.such.module.Gone cannot be imported"),
    ],
)
def test_what_cannot_be_used_is_an_error_of_settings(url: str, told: str) -> None:
    with pytest.raises(SettingsError, match=told) as raised:
        open_store(url, "shop")
    assert "graceful_store" in str(raised.value)
    assert "hidden" not in str(raised.value)


def test_own_schemes_are_not_taken_over(tmp_path: Path) -> None:
    entries = tmp_path / "mypkg-1.0.dist-info" / "entry_points.txt"
    entries.write_text("[celery_graceful.stores]\nmemory = mongo_store_of_a_test:Mongo\n")
    assert type(open_store("memory://own", "shop")) is MemoryStore
