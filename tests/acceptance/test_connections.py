"""Workers whose broker takes more than a URL: with the plugin they connect as without it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import SIGTERM
from typing import Any

import pytest
import redis

from tests.acceptance.apps import credentials
from tests.acceptance.runs import STYLES, Stage
from tests.harness import Ledger, Worker, wait_for
from tests.servers import Valkey
from tests.servers.cluster import Cluster
from tests.servers.process import HOST, free_port
from tests.servers.sentinel import Sentinel
from tests.servers.tls import Tls

pytestmark = pytest.mark.slow

PREFIX = "shop-"
PROVIDER = f"{credentials.__name__}.Credentials"


@contextmanager
def staged(folder: Path, broker: str, backend: str, **settings: Any) -> Iterator[Stage]:
    """A stage without a ``graceful_store``; worker and producer have these settings."""
    stage = Stage(broker, backend, folder)
    del stage.settings["graceful_store"]
    stage.settings.update(settings, graceful_checkpoint_interval=0.2)
    with stage.open(**settings):
        yield stage


def check(stage: Stage, items: int = 30) -> Worker:
    """A plain task is run, and an iterable one over a stop; returns the second worker."""
    first = stage.worker("first").wait_ready()
    noted = stage.folder / "plain"
    assert stage.send("items.tell", 1, str(noted)).get(timeout=30) is None
    assert len(Ledger(noted)) == 1
    run = stage.start(STYLES[0], items, 0.1)
    run.wait_items(3)
    first.signal(SIGTERM)
    assert first.wait() == 0
    second = stage.worker("second").wait_ready()
    run.hurry()
    run.check_result()
    run.check_exact()
    return second


def test_tls_a_credential_provider_and_a_user_with_a_key_prefix(
    own_valkey: Valkey, tmp_path: Path
) -> None:
    """All in one: a rediss broker with CERT_NONE, and a private CA on a redis:// backend."""
    # kombu subscribes by patterns, which a server compares with its rules letter by letter.
    rules = [f"~{PREFIX}*", "&*", "+@all", "-@admin", "-@dangerous", "+info", "+keys"]
    with own_valkey.client() as client:
        words = ["ACL", "SETUSER", credentials.USER, "reset", "on", f">{credentials.PASSWORD}"]
        client.execute_command(*words, *rules)
        client.execute_command("ACL", "SETUSER", "default", "off")
    with (
        Tls(own_valkey.port, tmp_path) as tls,
        staged(
            tmp_path,
            f"rediss://{HOST}:{tls.port}/0?credential_provider={PROVIDER}",
            f"redis://{credentials.USER}:{credentials.PASSWORD}@{HOST}:{tls.port}/0",
            broker_use_ssl={"ssl_cert_reqs": 0},
            broker_transport_options={"global_keyprefix": PREFIX},
            redis_backend_use_ssl={"ssl_cert_reqs": 2, "ssl_ca_certs": str(tls.ca)},
            result_backend_transport_options={"global_keyprefix": PREFIX},
        ) as stage,
    ):
        check(stage)
        user, password = credentials.Credentials().get_credentials()
        with redis.Redis(HOST, own_valkey.port, username=user, password=password) as client:
            keys = {key.decode() for key in client.keys(f"{PREFIX}*")}
        assert any(key.startswith(f"{PREFIX}graceful:{{items}}:run:") for key in keys)


@pytest.mark.core
def test_sentinel(own_valkey: Valkey, tmp_path: Path) -> None:
    options = {"master_name": "main", "sentinel_kwargs": {"password": "hidden"}}
    with Sentinel(own_valkey.port, password="hidden") as sentinel:
        there = f"sentinel://{HOST}:{sentinel.port}/1"
        away = f"sentinel://{HOST}:{free_port()}/1"
        with staged(
            tmp_path,
            f"{there};{away}",
            f"{there};{away}",
            broker_transport_options=options,
            result_backend_transport_options=options,
        ) as stage:
            check(stage)
    with own_valkey.client(1) as client:
        assert list(client.scan_iter("graceful:{items}:run:*"))


def test_the_first_of_several_brokers_keeps_the_runs(redis_url: str, tmp_path: Path) -> None:
    away = f"redis://{HOST}:{free_port()}/0"
    with staged(tmp_path, f"{redis_url};{away}", redis_url) as stage:
        worker = check(stage)
        worker.wait_log(r"WARNING.*the first of several brokers.*graceful_store")
        log = worker.logfile.read_text()
        assert log.count("the first of several brokers") == 1
        assert f"{redis_url} (derived from broker_url)" in log


def test_plain_tasks_go_on_without_the_first_broker(
    own_valkey: Valkey, redis_url: str, tmp_path: Path
) -> None:
    """Runs wait for their store, and start where the worker is: at the second broker."""
    own_valkey.kill()
    urls = [own_valkey.url, redis_url]
    with staged(tmp_path, ";".join(urls), redis_url) as stage:
        stage.worker("first").wait_ready()
        noted = stage.folder / "plain"
        run = stage.start(STYLES[0], 3, 0.01)
        assert stage.send("items.tell", 1, str(noted)).get(timeout=30) is None
        assert not len(run.ledger)
        own_valkey.start()
        run.check_result()
        run.check_exact()


def test_a_store_that_is_set_lets_runs_go_on_without_the_first_broker(
    redis_url: str, valkey_server: Valkey, tmp_path: Path
) -> None:
    away = [f"redis://{HOST}:{free_port()}/0" for _ in range(2)]
    store = valkey_server.fresh_url()
    with staged(
        tmp_path,
        ";".join([*away, redis_url]),
        redis_url,
        broker_url=[*away, redis_url],
        broker_transport_options={"socket_connect_timeout": 1},
    ) as stage:
        stage.settings["graceful_store"] = store
        worker = check(stage)
        assert "the first of several" not in worker.logfile.read_text()
    with valkey_server.client(int(store.rpartition("/")[2])) as client:
        wait_for(lambda: list(client.scan_iter("graceful:{items}:run:*")), 5, "the record")


def test_runs_in_a_cluster(redis_url: str, tmp_path: Path) -> None:
    with Cluster() as cluster, staged(tmp_path, redis_url, redis_url) as stage:
        stage.settings["graceful_store"] = cluster.url
        check(stage)
        owner = cluster.owner("graceful:{items}:live")
        assert cluster.ask(owner, "KEYS", "graceful:{items}:run:*")
