"""Where the address of a store was read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from celery_graceful.stores.third_party import address

#: The setting that names a store.
SETTING = "graceful_store"


class Derived(NamedTuple):
    """A store that no ``graceful_store`` names: it is where broker or result backend are."""

    #: The setting that its address was read from, such as ``broker_url``.
    setting: str
    #: Reads the options of the client, anew for each process: a credential provider may have a
    #: thread, which a fork does not copy.
    options: Callable[[], Mapping[str, Any]]


def address_of(url: str, derived: Derived | None) -> str:
    """A store's address for people: without its password, and with where it was read."""
    shown = address(url)
    return shown if derived is None else f"{shown} (derived from {derived.setting})"


def setting_of(derived: Derived | None) -> str:
    """The setting to check when something is wrong with the address."""
    return SETTING if derived is None else derived.setting
