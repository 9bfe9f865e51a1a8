"""Keys of a Redis database, and the members of one key, resumable at a scan cursor.

A scan cursor stays valid on the server that gave it, and a scan from there still finds what was not
found before: https://redis.io/docs/latest/commands/scan/#scan-guarantees. The batch that a scan
cursor answers with may be another one when it is asked for again, since the table may have been
resized. So a cursor within a batch has a digest of the batch: items are left out only if the batch
is the same, or else all of it is done again.
"""

from __future__ import annotations

import hashlib
import inspect
import logging
from collections.abc import Callable, Generator, Sequence
from typing import Any, NamedTuple

from celery_graceful.errors import CursorError, SourceError
from celery_graceful.sources.skipping import SKIPPED, SkippingSource

logger = logging.getLogger("celery_graceful.runs")

#: A call of the SCAN family: takes a scan cursor, returns the next one and a batch.
_Call = Callable[[int], Any]


def redis_scan(
    client: Any,
    match: str | bytes | None = None,
    *,
    count: int = 500,
    type: str | None = None,
    cursor: Sequence[Any] | None = None,
) -> SkippingSource[Any, list[Any]]:
    """The keys of a Redis or Valkey database, as ``client`` returns them: bytes or texts.

    Each key that is there from the first to the last execution is found. As with SCAN itself, keys
    may come more than once, so items must be idempotent; those that are set or deleted meanwhile
    may come or not. When a run is resumed within a batch that has changed, it does the batch again.
    When it is resumed on another server, or after a restart of the server, it begins again.

    Args:
        client: a client of redis-py or valkey-py. Not of a cluster: its nodes are scanned one by
            one.
        match: a glob pattern of keys.
        count: about how many keys the server examines for a batch.
        type: only keys of this type, such as ``"hash"``.
        cursor: the last cursor that was yielded; ``None`` for the start. It is [scan cursor, index
            in the batch, digest of the batch, id of the server].

    Raises:
        CursorError: the cursor is none of this source.
        SourceError: the client is one of a cluster, or asynchronous.
    """
    name = "sources.redis_scan"
    if _is_cluster(client):
        raise SourceError(
            f"{name}: {client!r:.100} is a client of a cluster, where each node has a scan of its"
            " own. Scan them one after another: sources.chained(*[partial(sources.redis_scan,"
            " client.get_redis_connection(node)) for node in sorted(client.get_primaries(),"
            " key=lambda node: node.name)], cursor=cursor)"
        )

    def scan(at: int) -> Any:
        return client.scan(at, match=match, count=count, _type=type)

    return _source(_Scan(name, client, None, scan), count, cursor)


def redis_hscan(
    client: Any,
    key: str | bytes,
    match: str | bytes | None = None,
    *,
    count: int = 500,
    cursor: Sequence[Any] | None = None,
) -> SkippingSource[tuple[Any, Any], list[Any]]:
    """The (field, value) pairs of a Redis hash; for the rest see :func:`redis_scan`.

    A key that does not exist has none. A client of a cluster will do.

    Raises:
        SourceError: the key is no hash.
    """

    def scan(at: int) -> Any:
        return client.hscan(key, at, match=match, count=count)

    return _source(_Scan("sources.redis_hscan", client, key, scan), count, cursor)


def redis_sscan(
    client: Any,
    key: str | bytes,
    match: str | bytes | None = None,
    *,
    count: int = 500,
    cursor: Sequence[Any] | None = None,
) -> SkippingSource[Any, list[Any]]:
    """The members of a Redis set; for the rest see :func:`redis_hscan`."""

    def scan(at: int) -> Any:
        return client.sscan(key, at, match=match, count=count)

    return _source(_Scan("sources.redis_sscan", client, key, scan), count, cursor)


def redis_zscan(
    client: Any,
    key: str | bytes,
    match: str | bytes | None = None,
    *,
    count: int = 500,
    cursor: Sequence[Any] | None = None,
) -> SkippingSource[tuple[Any, float], list[Any]]:
    """The (member, score) pairs of a sorted set, in no order; see :func:`redis_hscan`."""

    def scan(at: int) -> Any:
        return client.zscan(key, at, match=match, count=count)

    return _source(_Scan("sources.redis_zscan", client, key, scan), count, cursor)


class _Scan(NamedTuple):
    """One scan: for messages its name, and whom it asks for what."""

    name: str
    client: Any
    key: str | bytes | None
    call: _Call

    def batch(self, at: int) -> tuple[int, list[Any]]:
        """What the scan cursor ``at`` answers with: the next one, and the items."""
        try:
            following, found = self._answer(self.call(at))
        except Exception as exc:
            if self.key is None or "WRONGTYPE" not in str(exc):
                raise
            raise SourceError(
                f"{self.name}: the key {self.key!r:.200} is of another type: {exc}"
            ) from exc
        return int(following), list(found.items() if isinstance(found, dict) else found)

    def server(self) -> str:
        """The id of the server, which is another one after a restart; empty if unknown."""
        client = self.client
        if _is_cluster(client):
            client = client.get_redis_connection(client.get_node_from_key(self.key))
        try:
            return str(self._answer(client.info("server")).get("run_id", ""))
        except Exception as exc:
            if not any(each.__name__ == "ResponseError" for each in type(exc).__mro__):
                raise
            logger.warning(
                "%s: the server does not say which one it is (%s), so a scan that continues after"
                " its restart may miss keys; allow the command INFO",
                self.name,
                exc,
            )
            return ""

    def _answer(self, answer: Any) -> Any:
        if not inspect.isawaitable(answer):
            return answer
        if inspect.iscoroutine(answer):
            answer.close()
        raise SourceError(
            f"{self.name}: {self.client!r:.100} is an asynchronous client; pass redis.Redis(…)"
        )


def _is_cluster(client: Any) -> bool:
    return hasattr(client, "get_primaries") and hasattr(client, "get_redis_connection")


class _Place(NamedTuple):
    """The scan cursor of a batch, the number of its last item done, or -1, and its digest."""

    at: int = 0
    number: int = -1
    digest: str = ""
    server: str = ""


def _source(scan: _Scan, count: int, cursor: Any) -> SkippingSource[Any, list[Any]]:
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ValueError(f"{scan.name}: count must be a whole number of 1 or more, not {count!r}")
    return SkippingSource(_items(scan, _place(scan.name, cursor)))


def _items(scan: _Scan, place: _Place) -> Generator[tuple[Any, Any], None, None]:
    at, index, digest, known = place
    server = scan.server()
    if known and server and known != server:
        _warn_of_restart(scan)
        at, index = 0, -1
    while True:
        following, batch = scan.batch(at)
        own = _digest(batch)
        begin = index + 1 if index >= 0 and own == digest else 0
        for number in range(begin, len(batch)):
            if following and number == len(batch) - 1:
                yield batch[number], [following, -1, "", server]
            else:
                yield batch[number], [at, number, own, server]
        at, index = following, -1
        if not following:
            # A failover within a scan: the other server's tables are in another order.
            now = scan.server()
            if now == server:
                return
            _warn_of_restart(scan)
            server = now
        if begin >= len(batch):
            yield SKIPPED, [at, -1, "", server]


def _warn_of_restart(scan: _Scan) -> None:
    logger.warning(
        "%s: the server has been restarted, or is another one, so its scan cursors mean something"
        " else; the scan begins again, and what was done is done again",
        scan.name,
    )


def _digest(batch: list[Any]) -> str:
    """What distinguishes a batch from another one: its keys, fields or members in their order."""
    digest = hashlib.blake2b(digest_size=12)
    for item in batch:
        name = item[0] if isinstance(item, (tuple, list)) else item
        raw = name if isinstance(name, bytes) else str(name).encode("utf-8", "surrogatepass")
        digest.update(b"%d:" % len(raw))
        digest.update(raw)
    return digest.hexdigest()


def _place(name: str, cursor: Any) -> _Place:
    if cursor is None:
        return _Place()
    if isinstance(cursor, (list, tuple)) and len(cursor) == 4:
        at, index, digest, server = cursor
        numbers = all(isinstance(n, int) and not isinstance(n, bool) for n in (at, index))
        if numbers and at >= 0 and index >= -1 and isinstance(digest, str):
            return _Place(at, index, digest, str(server))
    raise CursorError(
        f"{name}: the cursor must be [scan cursor, index in the batch, digest, server] or None, not"
        f" {cursor!r:.200}; pass on the cursor that the source yielded"
    )
