"""What one app's runs share in a process: settings, policy, store. Derived from ``app.conf`` alone.

Spawned pool children have no ``Graceful`` object, so nothing here depends on one.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from celery_graceful import settings as settings_
from celery_graceful._celery.connections import (
    Place,
    database_of_backend,
    redis_of_backend,
    redis_of_broker,
)
from celery_graceful._celery.message.brokers import broker_identity, broker_shown
from celery_graceful.errors import SettingsError
from celery_graceful.model.run.verdict import Policy
from celery_graceful.stores.base import Store
from celery_graceful.stores.origin import Derived, address_of
from celery_graceful.stores.url import files_of, open_store
from celery_graceful.text.masking import mask_url

if TYPE_CHECKING:
    from celery import Celery

    from celery_graceful.runs.observers import Observer

logger = logging.getLogger("celery_graceful.runtime")

#: Where runs are kept when neither a setting, the broker nor the result backend names a store.
FALLBACK_STORE = "sqlite:///celery-graceful.sqlite3"

#: Where a store can be found when no setting names one, in this order.
_SOURCES = (redis_of_broker, redis_of_backend, database_of_backend)


@dataclass(frozen=True, eq=False)
class Runtime:
    """One app's settings, and what follows from them."""

    app: Celery
    settings: settings_.Settings
    #: Are called at every transition of a run that this process makes.
    observers: list[Observer] = field(default_factory=list)

    @cached_property
    def namespace(self) -> str:
        """What sets this app's runs apart from those of others in the same store."""
        return self.settings.namespace or self.app.main or "celery"

    def policy_for(self, max_crashes: int | None) -> Policy:
        """The policy for a task with an option of its own (``None``: the setting)."""
        if max_crashes is None:
            return self.policy
        return replace(self.policy, max_crashes=max_crashes)

    @cached_property
    def policy(self) -> Policy:
        """What decisions on runs depend on."""
        return Policy(
            lease_ttl=self.settings.lease_ttl,
            max_crashes=self.settings.max_crashes,
            run_retention=self.settings.run_retention,
        )

    def way_of_resumed(self, task: str) -> tuple[str | None, int | None]:
        """The queue and priority of messages that resume a run of ``task``; ``None``: its own."""
        known = self.app.tasks.get(task)
        queue = getattr(known, "resume_queue", None)
        priority = getattr(known, "resume_priority", None)
        return (
            self.settings.resume_queue if queue is None else queue,
            self.settings.resume_priority if priority is None else priority,
        )

    @cached_property
    def broker(self) -> str:
        """Names the broker and virtual host, without credentials."""
        return broker_identity(self.app)

    @cached_property
    def broker_shown(self) -> str:
        """The same for people, with TLS in its scheme."""
        return broker_shown(self.app)

    @cached_property
    def store(self) -> Store:
        """The store of this process's tasks; nothing is connected before its first use."""
        return self.open_store()

    def open_store(self) -> Store:
        """A store of one's own, with connections that no other thread uses."""
        return open_store(
            self.store_url,
            self.namespace,
            timeout=self.settings.store_timeout,
            options=self.settings.store_options,
            derived=self._derived,
        )

    def store_files(self) -> list[str]:
        """The certificates and keys that the store's client is to read."""
        return files_of(self.store_url, self.settings.store_options, self._derived)

    @cached_property
    def store_url(self) -> str:
        """Where runs are kept: the setting, or where broker or result backend are."""
        if self.settings.store:
            return self.settings.store
        return FALLBACK_STORE if self._found is None else self._found.url

    @cached_property
    def store_address(self) -> str:
        """The same for people: without a password, and with where it was read."""
        return address_of(self.store_url, self._derived)

    @property
    def _derived(self) -> Derived | None:
        found = self._found
        return None if found is None else Derived(found.setting, found.options)

    @cached_property
    def _found(self) -> Place | None:
        """Where a store was found that no setting names."""
        if self.settings.store:
            return None
        return next(filter(None, (look(self.app) for look in _SOURCES)), None)

    @property
    def store_caveat(self) -> str:
        """Why nobody can rely on where the runs are kept, though all agree; empty: no reason."""
        found = self._found
        if found is None or not found.others:
            return ""
        others = ", ".join(mask_url(url) for url in found.others)
        return (
            f"Runs are kept in {self.store_address}, the first of several brokers: messages may"
            f" travel by {others} while it is away, and then no run can start or save. Set"
            " graceful_store to the Redis or database that is to keep them."
        )

    @property
    def store_is_fallback(self) -> bool:
        """Whether runs are kept in a file beside the worker because nothing better is known."""
        return self.store_url == FALLBACK_STORE and not self.settings.store


_runtimes: WeakKeyDictionary[Any, Runtime] = WeakKeyDictionary()
_lock = threading.Lock()


def runtime_of(app: Celery) -> Runtime:
    """The runtime of an app, read once from its configuration.

    Raises:
        SettingsError: a ``graceful_*`` setting is unknown or wrong.
    """
    runtime = _runtimes.get(app)
    if runtime is not None:
        return runtime
    fresh = Runtime(app, settings_.read(app.conf))
    with _lock:
        return _runtimes.setdefault(app, fresh)


def close_stores() -> None:
    """Give back the connections of this process's stores; they open again when used."""
    with _lock:
        runtimes = list(_runtimes.values())
    for runtime in runtimes:
        if "store" in runtime.__dict__:  # made, not merely possible
            runtime.store.close()


def namespace_in(app: Celery) -> str:
    """The namespace of an app, also of one whose settings are wrong elsewhere."""
    try:
        return runtime_of(app).namespace
    except SettingsError:
        given = app.conf.get("graceful_namespace")
        return given if isinstance(given, str) and given.strip() else app.main or "celery"


def forget(app: Celery) -> None:
    """Read the app's configuration anew at the next use (it was changed after the fact)."""
    with _lock:
        _runtimes.pop(app, None)
