"""What servers say, also old ones, and what becomes of it."""

from __future__ import annotations

import pytest
from redis import exceptions as redis_errors

from celery_graceful.errors import CorruptRecord, StoreError, StoreUnavailable
from celery_graceful.stores.redis.errors import Translator

INSIDE = "Error running script (call to f_1): @user_script:3: -{} what it means"


@pytest.mark.parametrize(
    ("exc", "kind"),
    [
        (redis_errors.ConnectionError("refused"), StoreUnavailable),
        (redis_errors.TimeoutError(), StoreUnavailable),
        (redis_errors.BusyLoadingError("loading"), StoreUnavailable),
        (redis_errors.ReadOnlyError("replica"), StoreUnavailable),
        (redis_errors.MaxConnectionsError("many"), StoreUnavailable),
        (ConnectionResetError("reset"), StoreUnavailable),
        (redis_errors.ResponseError("BUSY Redis is busy running a script"), StoreUnavailable),
        (redis_errors.ResponseError("MISCONF cannot save"), StoreUnavailable),
        (redis_errors.ResponseError("NOREPLICAS few"), StoreUnavailable),
        (redis_errors.ResponseError(INSIDE.format("READONLY")), StoreUnavailable),
        (redis_errors.AuthenticationError("invalid password"), StoreError),
        (redis_errors.NoPermissionError("not allowed"), StoreError),
        (redis_errors.ResponseError(INSIDE.format("NOPERM")), StoreError),
        (redis_errors.OutOfMemoryError("over maxmemory"), StoreUnavailable),
        (redis_errors.ResponseError(INSIDE.format("OOM")), StoreUnavailable),
        (redis_errors.ResponseError("CROSSSLOT different slots"), StoreError),
        (redis_errors.MovedError("1 127.0.0.1:7000"), StoreError),
        (redis_errors.ResponseError("ERR unknown command 'EVALSHA'"), StoreError),
        (redis_errors.InvalidResponse("Protocol Error: b'HTTP'"), StoreError),
        (redis_errors.ResponseError("WRONGTYPE Operation against a key"), CorruptRecord),
        (redis_errors.ResponseError(INSIDE.format("WRONGTYPE")), CorruptRecord),
        (redis_errors.ResponseError("ERR hash value is not an integer"), CorruptRecord),
    ],
)
def test_translation(exc: Exception, kind: type[StoreError]) -> None:
    error = Translator("redis://host:1/0", "graceful_store", "")(exc, "the-key")
    assert type(error) is kind
    assert "redis://host:1/0" in str(error)
    assert "the-key" in str(error) or "Cluster" in str(error) or "speak" in str(error)


@pytest.mark.parametrize(
    "exc",
    [
        redis_errors.AuthenticationError("invalid username-password pair or user is disabled."),
        redis_errors.ResponseError("WRONGPASS invalid username-password pair."),
        redis_errors.ResponseError("NOAUTH Authentication required."),
    ],
)
def test_a_wrong_password_is_not_answered_with_rights(exc: Exception) -> None:
    said = str(Translator("redis://host:1/0", "graceful_store", "")(exc, "the-key"))
    assert said.endswith(". Check the user and password in graceful_store.")
    assert "ACL" not in said
    assert ".." not in said


def test_a_user_without_rights_is_told_them() -> None:
    exc = redis_errors.NoPermissionError("no permissions to run 'eval'")
    said = str(Translator("redis://host:1/0", "graceful_store", "")(exc, "the-key"))
    assert "Give the user these rights: ACL SETUSER <user> ~" in said
    assert "password" not in said
