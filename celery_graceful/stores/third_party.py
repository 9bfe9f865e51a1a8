"""Stores of other packages: found by an entry point for their scheme, or named by a dotted path."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any, Protocol

from celery_graceful.errors import SettingsError
from celery_graceful.stores.base import Store
from celery_graceful.text.masking import mask_text, mask_url

#: Entry points of this group make stores; their names are schemes of URLs.
GROUP = "celery_graceful.stores"

#: ``package.module.Class+scheme://…``, or with a colon before the class.
_DOTTED = re.compile(r"(?P<module>\w+(?:\.\w+)*)[.:](?P<name>\w+)\+(?P<url>[A-Za-z][\w+.-]*://.*)")


class StoreFactory(Protocol):
    """Makes a store, such as its class; connects to nothing yet."""

    def __call__(
        self, url: str, namespace: str, *, timeout: float, options: Mapping[str, Any]
    ) -> Store:
        """A store.

        Args:
            url: ``graceful_store``, without the dotted path if there is one.
            namespace: Separates the apps that share a store.
            timeout: Seconds to connect, and seconds to wait for an answer.
            options: ``graceful_store_options``.
        """


def address(url: str) -> str:
    """A store's URL without its password."""
    dotted = _DOTTED.fullmatch(url)
    return mask_url(url) if dotted is None else url[: dotted.start("url")] + mask_url(dotted["url"])


def opened(
    url: str, namespace: str, timeout: float, options: Mapping[str, Any] | None
) -> Store | None:
    """Make the store of another package that ``url`` names; ``None``: it names none.

    Raises:
        SettingsError: The package cannot be imported, or refuses the URL or the options.
    """
    dotted = _DOTTED.fullmatch(url)
    if dotted is not None:
        maker = f"{dotted['module']}.{dotted['name']}"
        factory = _imported(dotted["module"], dotted["name"], url)
        url = dotted["url"]
    else:
        scheme = url.partition("://")[0].lower()
        found = next(iter(entry_points(group=GROUP, name=scheme)), None)
        if found is None:
            return None
        maker = f"{found.value} (entry point {scheme} of {GROUP})"
        try:
            factory = found.load()
        except (ImportError, AttributeError) as exc:
            raise _unusable(url, f"{maker} cannot be imported: {exc}") from exc
    try:
        store = factory(url, namespace, timeout=timeout, options=dict(options or {}))
    except SettingsError:
        raise
    except Exception as exc:
        why = f"{maker} raised {type(exc).__name__}: {mask_text(str(exc), url)}"
        raise _unusable(url, why) from None  # the cause may quote a password
    if not isinstance(store, Store):
        missing = sorted(name for name in dir(Store) if name[0] != "_" and not hasattr(store, name))
        raise _unusable(url, f"{maker} made a {type(store).__name__}, without {', '.join(missing)}")
    return store


def _imported(module: str, name: str, url: str) -> StoreFactory:
    try:
        factory: StoreFactory = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as exc:
        raise _unusable(url, f"{module}.{name} cannot be imported: {exc}") from exc
    return factory


def _unusable(url: str, why: str) -> SettingsError:
    return SettingsError(
        f"graceful_store: {address(url)} cannot be used: {why}. A store of another package is a "
        "factory(url, namespace, *, timeout, options): docs/how-to/write-a-store.md."
    )
