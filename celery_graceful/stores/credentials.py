"""Credential providers of redis-py, which may be named by their class."""

from __future__ import annotations

import importlib
from typing import Any

from redis.credentials import CredentialProvider


def provider_of(named: Any) -> CredentialProvider | None:
    """The provider that ``named`` is or names (``module.Class``); a new one for each call.

    Raises:
        ImportError: there is no such class.
        ValueError: it is no credential provider.
    """
    if named is None or isinstance(named, CredentialProvider):
        return named
    made = _named(named)() if isinstance(named, str) else named
    if not isinstance(made, CredentialProvider):
        raise ValueError(f"{_called(named)} is not a redis.CredentialProvider")
    return made


def _called(named: Any) -> str:
    return f"the credential provider {named if isinstance(named, str) else type(named).__name__}"


def _named(path: str) -> Any:
    module, dot, name = path.replace(":", ".").rpartition(".")
    if not dot:
        raise ImportError(f"the credential provider is {path!r}; write module.Class")
    try:
        return getattr(importlib.import_module(module), name)
    except AttributeError:
        raise ImportError(f"{module} has no {name}, which is to provide credentials") from None
