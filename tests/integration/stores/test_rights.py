"""The rights that the error advises are enough for all that the store does."""

# mypy: allow-untyped-decorators
from __future__ import annotations

from collections.abc import Callable

import pytest

from celery_graceful.errors import StoreError
from celery_graceful.stores.base import Store
from celery_graceful.stores.redis_rights import rule
from celery_graceful.testing.store_contract import StoreContract
from tests.servers.valkey import Valkey

from .conftest import Opener


class TestStoreWithTheAdvisedRights(StoreContract):
    """The contract, as a user who may do what the error says, and nothing else."""

    @pytest.fixture
    def open_store(self, valkey_server: Valkey, opener: Callable[..., Store]) -> Opener:
        with valkey_server.client() as client:
            words = ["ACL", "SETUSER", "advised", "reset", "on", ">right"]
            client.execute_command(*words, *rule().split())
        url = valkey_server.fresh_url().replace("//", "//advised:right@")
        return lambda namespace: opener(url, namespace)


@pytest.mark.parametrize("missing", ["eval", "hset", "zrem", "zadd"])
def test_what_is_missing_is_named_with_the_cure(
    own_valkey: Valkey, opener: Callable[..., Store], missing: str
) -> None:
    with own_valkey.client() as client:
        words = ["ACL", "SETUSER", "me", "reset", "on", ">hidden", *rule().split()]
        client.execute_command(*words, f"-{missing}")
    store = opener(own_valkey.url.replace("//", "//me:hidden@"))
    with pytest.raises(StoreError) as caught:
        store.check()
    assert f"ACL SETUSER <user> {rule()}" in str(caught.value)
    assert "hidden" not in str(caught.value)
