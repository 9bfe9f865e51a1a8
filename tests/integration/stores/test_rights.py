"""The rights that the error advises are enough for all that the store does."""

# mypy: allow-untyped-decorators
from __future__ import annotations

from collections.abc import Callable

import pytest

from celery_graceful.errors import StoreError
from celery_graceful.stores.base import Store
from celery_graceful.stores.redis.errors import rule
from celery_graceful.testing.store_contract import StoreContract
from tests.servers.valkey import Valkey

from .conftest import Opener


class TestStoreWithTheAdvisedRights(StoreContract):
    """The contract, as a user who may do what the error says, and nothing else.

    Its keys have to begin with ``global_keyprefix``.
    """

    @pytest.fixture
    def open_store(self, valkey_server: Valkey, opener: Callable[..., Store]) -> Opener:
        with valkey_server.client() as client:
            words = ["ACL", "SETUSER", "advised", "reset", "on", ">right", "resetchannels"]
            client.execute_command(*words, *rule("shop-").split())
        url = valkey_server.fresh_url().replace("//", "//advised:right@")
        options = {"global_keyprefix": "shop-"}
        return lambda namespace: opener(url, namespace, options=options)


def test_the_advised_rights_have_the_prefix(
    own_valkey: Valkey, opener: Callable[..., Store]
) -> None:
    with own_valkey.client() as client:
        words = ["ACL", "SETUSER", "me", "reset", "on", ">hidden", "~other-*", "+@all"]
        client.execute_command(*words)
    url = own_valkey.url.replace("//", "//me:hidden@")
    with pytest.raises(StoreError) as caught:
        opener(url, options={"global_keyprefix": "shop-"}).check()
    assert "ACL SETUSER <user> ~shop-graceful:* " in str(caught.value)


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
