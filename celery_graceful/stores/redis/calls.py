"""What all calls of the Redis store share: connections, errors, checks of the server."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from redis import Redis
from redis.exceptions import NoPermissionError, ReadOnlyError, ResponseError

from celery_graceful.errors import CorruptRecord, StoreError
from celery_graceful.forks import after_fork
from celery_graceful.stores.base import Durability
from celery_graceful.stores.origin import SETTING
from celery_graceful.stores.redis import scripts
from celery_graceful.stores.redis.encoding import Keys, shown
from celery_graceful.stores.redis.errors import TROUBLE, Translator
from celery_graceful.stores.redis.script_calls import ScriptCaller
from celery_graceful.stores.unread import Skipped, unread

logger = logging.getLogger("celery_graceful.stores")

_OLDEST = 6


class RedisCalls:
    """Calls of scripts on the keys of one namespace.

    Args:
        connect: Makes connections that neither decode replies nor repeat requests.
        namespace: The hash tag of every key.
        address: The store's URL without its password, for messages.
        setting: The setting that the address was read from.
        prefix: What every key begins with.
        shared_between_hosts: Whether other hosts can reach the server.
    """

    shared_between_processes = True

    def __init__(
        self,
        connect: Callable[[], ScriptCaller],
        namespace: str,
        *,
        address: str,
        setting: str = SETTING,
        prefix: str = "",
        shared_between_hosts: bool = True,
    ) -> None:
        self.shared_between_hosts = shared_between_hosts
        self._connect = connect
        self._caller: ScriptCaller | None = connect()
        # Connections of parents: kept, so that nothing of theirs is closed here.
        self._abandoned: list[ScriptCaller | None] = []
        after_fork(self._abandon)
        self._address = address
        self._errors = Translator(address, setting, prefix)
        self._keys = Keys(namespace, prefix)
        self._skipped = Skipped()

    def check(self) -> None:
        key = self._keys.check
        self._call(scripts.CHECK, key, 2, key, key + b"-index")
        try:
            info: Any = self._own_caller().server(key).info()
        except NoPermissionError as exc:
            logger.info("%s does not say its version (%s)", self._address, exc)
            return
        except TROUBLE as exc:
            raise self._errors(exc, "INFO") from exc
        _judge(info, self._address)

    def durability(self) -> Durability:
        """What becomes of the data when memory runs out or the server restarts.

        Many servers do not say: a managed one, or an ACL without CONFIG and INFO.

        Raises:
            StoreUnavailable: The server does not answer.
        """
        client = self._own_caller().server(self._keys.check)
        try:
            policy, save, log = (
                _config(client, name) for name in ("maxmemory-policy", "save", "appendonly")
            )
        except TROUBLE as exc:
            raise self._errors(exc, "CONFIG GET") from exc
        persistent = None if save is None or log is None else bool(save) or log == "yes"
        return Durability(policy or "", persistent)

    def close(self) -> None:
        """Give back the connections; the next call opens new ones."""
        self._own_caller().close()

    def _call(self, script: scripts.Script, about: bytes, keys: int, *args: bytes) -> Any:
        """Run a script.

        Args:
            script: Which.
            about: The key to name in errors.
            keys: How many of the arguments, from the first on, are keys.
        """
        caller = self._own_caller()
        try:
            return caller.call(script, keys, args)
        except (*TROUBLE, UnicodeError) as exc:
            if isinstance(exc, ReadOnlyError):
                caller.reconnect()
            raise self._errors(exc, shown(about)) from exc

    def _own_caller(self) -> ScriptCaller:
        if self._caller is None:
            self._caller = self._connect()
        return self._caller

    def _abandon(self) -> None:
        # Not left to redis-py's pool: it waits for a lock of the parent, which another thread may
        # have held at the fork.
        self._abandoned.append(self._caller)
        self._caller = None

    def _corrupt(self, key: bytes, why: object) -> CorruptRecord:
        return unread(f"at {shown(key)} in {self._address}", why)


def seconds(value: float) -> bytes:
    """A number of seconds as an argument of a script."""
    return b"%.6f" % value


def milliseconds(value: float) -> bytes:
    """A number of seconds as an argument of a script that takes milliseconds."""
    return b"%d" % (value * 1000)


def _judge(info: dict[str, Any], address: str) -> None:
    """Refuse a server that is too old, and warn of one that may evict records.

    Args:
        info: What the server answers to ``INFO``.
        address: The store's URL without its password.

    Raises:
        StoreError: It cannot be used.
    """
    version = str(info.get("redis_version", "0"))
    if not version.split(".")[0].isdigit() or int(version.split(".")[0]) < _OLDEST:
        raise StoreError(
            f"{address} is Redis {version}; celery-graceful needs Redis {_OLDEST} or "
            "newer, or Valkey."
        )
    policy = str(info.get("maxmemory_policy", "noeviction"))
    if policy.startswith("allkeys"):
        logger.warning(
            "%s may evict records of runs when memory is short (maxmemory-policy %s): such a "
            "run is lost. Set maxmemory-policy to noeviction or to one of the volatile ones.",
            address,
            policy,
        )


def _config(client: Redis, name: str) -> str | None:
    """The server's setting; ``None`` where it does not allow the question."""
    asked: Callable[[str], Any] = client.config_get
    try:
        found = dict(asked(name))
    except ResponseError:  # no such command, or no rights to it
        return None
    texts = {_config_text(key): _config_text(value) for key, value in found.items()}
    return texts.get(name)


def _config_text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
