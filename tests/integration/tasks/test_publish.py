"""Messages captured and sent again: byte for byte, on real brokers; and what cannot be sent."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from kombu.exceptions import OperationalError

from celery_graceful._celery.message.envelope import Envelope, pack, unpack
from celery_graceful._celery.message.headers import CHECKPOINT, GENERATION
from celery_graceful._celery.message.publish import publish
from celery_graceful.errors import CorruptRecord, PublishUncertain
from celery_graceful.runtime import runtime_of
from tests.servers.process import free_port

from .conftest import TASK, MakeApp, declare, envelope_of, take

pytestmark = pytest.mark.brokers("redis", "rabbitmq")

ACCEPT = ["json", "pickle", "yaml", "msgpack"]


@pytest.fixture
def app(make_app: MakeApp, broker_url: str) -> Any:
    return make_app(broker_url, accept_content=ACCEPT)


def sent_again(app: Any, queue: str = "celery", **options: Any) -> tuple[Any, Any]:
    """The message of a call, and the same one published for generation 3."""
    app.tasks[TASK].apply_async((1, "ü"), {"key": [None, 2.5]}, **options)
    first = take(app, queue)
    assert first is not None
    envelope = envelope_of(app, first).continued(3, '{"cursor":1}')
    publish(app, envelope, timeout=5)
    second = take(app, queue)
    assert second is not None
    assert take(app, queue) is None
    return first, second


def assert_same(first: Any, second: Any) -> None:
    assert second.body == first.body
    assert second.payload == first.payload
    assert (second.content_type, second.content_encoding) == (
        first.content_type,
        first.content_encoding,
    )
    ours = {GENERATION: 3, CHECKPOINT: '{"cursor":1}', "eta": None, "expires": None}
    assert second.headers == {**first.headers, **ours}
    for name in ("correlation_id", "reply_to", "delivery_mode"):
        assert second.properties.get(name) == first.properties.get(name)
    assert (second.properties.get("priority") or 0) == (first.properties.get("priority") or 0)


@pytest.mark.parametrize("serializer", ACCEPT)
@pytest.mark.parametrize("compression", [None, "zlib", "bzip2"])
def test_serializers_and_compression(app: Any, serializer: str, compression: str | None) -> None:
    pytest.importorskip({"yaml": "yaml", "msgpack": "msgpack"}.get(serializer, "json"))
    first, second = sent_again(app, serializer=serializer, compression=compression)
    assert_same(first, second)


OPTIONS: dict[str, dict[str, Any]] = {
    "priority": {"priority": 7},
    "headers": {"headers": {"tenant": "ü", "deep": {"a": [1, None]}, "n": 2**40}},
    "expires": {"expires": 3600},
    "a moment": {"expires": datetime.now(timezone.utc) + timedelta(hours=1)},
    "limits": {"time_limit": 9, "soft_time_limit": 3, "ignore_result": True},
    "callbacks": {"link": [], "shadow": "shadowed", "retries": 2},
    "reply to": {"reply_to": "somewhere", "correlation_id": "another"},
    "an argument that kombu writes": {"headers": {"when": datetime(2025, 1, 1)}},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_options(app: Any, options: dict[str, Any]) -> None:
    assert_same(*sent_again(app, **options))


def test_links_and_stamps(app: Any) -> None:
    signature = app.tasks[TASK].s(1)
    signature.link(app.tasks[TASK].si(2))
    signature.link_error(app.tasks[TASK].si(3))
    signature.stamp(team="ops")
    signature.apply_async()
    first = take(app)
    publish(app, envelope_of(app, first).continued(3, '{"cursor":1}'), timeout=5)
    assert_same(first, take(app))


def test_another_queue_and_exchange(app: Any) -> None:
    declare(app, "imports", "media", "direct", "import")
    options = {"exchange": "media", "routing_key": "import"}
    assert_same(*sent_again(app, "imports", **options))


PUBLISH = """
import sys
from celery import Celery
from celery_graceful._celery.message.envelope import Envelope, pack, unpack
from celery_graceful._celery.message.headers import CHECKPOINT, GENERATION
from celery_graceful._celery.message.publish import publish
app = Celery("proj", broker=sys.argv[1], set_as_current=False)
app.conf.task_queues = eval(sys.argv[3], {**vars(__import__("kombu"))})
publish(app, unpack(bytes.fromhex(sys.argv[2])), timeout=5)
"""


@pytest.mark.parametrize(
    ("kind", "binding", "key"),
    [("direct", "a.b", "a.b"), ("topic", "a.#", "a.b"), ("fanout", "", "any")],
)
def test_from_a_process_that_has_declared_nothing(
    app: Any, broker_url: str, kind: str, binding: str, key: str
) -> None:
    """As a pool child: on Redis an exchange's type is known only where it was declared."""
    if kind == "fanout" and broker_url.startswith("redis"):
        pytest.skip("a fanout exchange keeps no message on Redis")
    exchange = f"media-{kind}"  # kombu remembers the type of each in this process
    declare(app, "imports", exchange, kind, binding)
    app.tasks[TASK].apply_async((1,), queue="imports", routing_key=key)
    first = take(app, "imports")
    assert first is not None
    packed = pack(envelope_of(app, first).continued(3, '{"cursor":1}')).hex()
    queues = f"[Queue('imports', Exchange({exchange!r}, type={kind!r}), routing_key={binding!r})]"
    done = subprocess.run(
        [sys.executable, "-c", PUBLISH, broker_url, packed, queues],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    second = take(app, "imports")
    assert second is not None, "the message is gone, and nobody was told"
    assert_same(first, second)


# -- what cannot be sent ----------------------------------------------------------------------


def some_envelope(app: Any, **changes: Any) -> Envelope:
    fields: dict[str, Any] = {
        "body": b"[[], {}, {}]",
        "content_type": "application/json",
        "content_encoding": "utf-8",
        "headers": {"task": TASK, "id": "id-1"},
        "properties": {},
        "exchange": "",
        "routing_key": "celery",
        "broker": runtime_of(app).broker,
    }
    return Envelope(**{**fields, **changes})


def test_an_exchange_that_leads_nowhere(app: Any) -> None:
    envelope = some_envelope(app, exchange="no-such-exchange", routing_key="x")
    with pytest.raises(PublishUncertain, match=r"proj\.work\[id-1\].*no-such-exchange"):
        publish(app, envelope, timeout=5)


def test_a_binding_that_is_missing(app: Any) -> None:
    declare(app, "imports", "media", "direct", "import")
    envelope = some_envelope(app, exchange="media", routing_key="another")
    with pytest.raises(PublishUncertain, match=r"proj\.work\[id-1\]"):
        publish(app, envelope, timeout=5)
    assert take(app, "imports") is None


@pytest.mark.rabbitmq
def test_a_queue_that_is_missing_on_rabbitmq(make_app: MakeApp, rabbitmq_url: str) -> None:
    app = make_app(rabbitmq_url)
    with pytest.raises(PublishUncertain, match="no queue takes exchange '' with key 'missing'"):
        publish(app, some_envelope(app, routing_key="missing"), timeout=5)


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_a_broker_that_is_away(make_app: MakeApp, scheme: str) -> None:
    app = make_app(f"{scheme}://127.0.0.1:{free_port()}//")
    with pytest.raises(OperationalError):
        publish(app, some_envelope(app), timeout=2)


@pytest.mark.rabbitmq
@pytest.mark.parametrize("wrong", ["password", "vhost"])
def test_rabbitmq_lets_nobody_in(make_app: MakeApp, rabbitmq_url: str, wrong: str) -> None:
    url = rabbitmq_url.replace(":guest@", ":wrong@")
    if wrong == "vhost":
        url = rabbitmq_url.rpartition("/")[0] + "/no-such-vhost"
    app = make_app(url)
    with pytest.raises(OperationalError):
        publish(app, some_envelope(app), timeout=5)


# -- envelopes --------------------------------------------------------------------------------


def test_the_brokers_name_holds_no_password(make_app: MakeApp) -> None:
    app = make_app("amqp://user:secret@host:5673/vhost")
    name = runtime_of(app).broker
    assert "secret" not in name
    assert "user" not in name
    assert "host" in name
    assert "5673" in name
    assert name.endswith("/vhost")


def test_different_brokers_have_different_names(make_app: MakeApp) -> None:
    urls = [
        "redis://a:6379/0",
        "redis://a:6379/1",
        "redis://b:6379/0",
        "redis://a:6380/0",
        "amqp://a:5672/x",
        "amqp://a:5672/y",
        "amqp://a//x",
    ]
    assert len({runtime_of(make_app(url)).broker for url in urls}) == len(urls)


def test_the_same_broker_written_in_two_ways(make_app: MakeApp) -> None:
    pairs = [
        ("redis://a/0", "redis://a:6379/0"),
        ("amqp://a//", "amqp://guest:guest@a:5672//"),
        ("pyamqp://a//", "amqp://a//"),
    ]
    for one, other in pairs:
        assert runtime_of(make_app(one)).broker == runtime_of(make_app(other)).broker


@pytest.mark.parametrize(
    "headers",
    [
        {"a": b"\x00\xff"},
        {"a": datetime(2025, 1, 1, tzinfo=timezone.utc)},
        {"a": {"b": [1, None, "ü\n"]}},
        {"a\nb": "c\nd"},
    ],
    ids=repr,
)
@pytest.mark.parametrize("body", [b"", b"\n", b"\n{}\nk", bytes(range(256))], ids=repr)
def test_packed_and_unpacked(make_app: MakeApp, headers: Any, body: bytes) -> None:
    app = make_app("memory://")
    envelope = some_envelope(app, headers=headers, body=body, properties={"priority": 3})
    assert unpack(pack(envelope)) == envelope


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"k",
        b"k\n",
        b"not json\nbody",
        b"{}\nbody",
        b"[]\nbody",
        b"null\nbody",
        b"\xff\xfe\nbody",
        b'{"body": 1}\nbody',
        b'{"content_type":1,"content_encoding":1,"headers":5,"properties":[],"exchange":1,'
        b'"routing_key":null,"broker":""}\n',
    ],
    ids=repr,
)
def test_corrupt_envelopes(data: bytes) -> None:
    with pytest.raises(CorruptRecord, match="saved message of a run cannot be read"):
        unpack(data)


def test_a_continuation_forgets_what_the_broker_added(make_app: MakeApp) -> None:
    app = make_app("memory://")
    added = {"redelivered": True, "x-death": [{}], "x-delivery-count": 2, CHECKPOINT: "old"}
    before = some_envelope(app, headers={"id": "1", "expires": "soon", **added})
    after = before.continued(2, None)
    assert after.headers == {"id": "1", "eta": None, "expires": None, GENERATION: 2}
    assert before.headers["redelivered"], "the first one stays as it was"
