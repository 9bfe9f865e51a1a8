"""The objects in a store, by key."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple

from celery_graceful.errors import CursorError, SourceError
from celery_graceful.sources.reading.origins.object_stores import file_system_of

_PAGE = 1000


class ObjectInfo(NamedTuple):
    """What a listing says of an object.

    Attributes:
        key: where it is in the store.
        size: in bytes.
        modified: when it was written, if the store says so.
        etag: of its content, if the store says so.
    """

    key: str
    size: int
    modified: datetime | None
    etag: str | None


def objects(
    store: Any, prefix: str = "", *, cursor: str | None = None
) -> Iterator[tuple[ObjectInfo, str]]:
    """The objects whose keys begin with ``prefix``, in the order of keys; the cursor is the key.

    Resuming asks the store for the keys behind the cursor, whose object may be gone meanwhile. No
    continuation token is kept, so a run may be resumed days later. Objects that appear before the
    cursor meanwhile are not seen.

    Args:
        store: a store of obstore (``pip install 'celery-graceful[objects]'``), a URL that fsspec
            knows, or a file system of fsspec. fsspec has no listing from a key on: it lists all
            keys of the folder, holds them in memory, and leaves out those that are done.
        prefix: how keys begin; not only whole folders: ``"logs/2026-"``.
        cursor: the last cursor that was yielded; ``None`` for the first object.

    Raises:
        CursorError: the cursor is no key that begins with ``prefix``.
        SourceError: at the first object, when ``store`` is none; when the store lists keys in
            another order, as obstore's ``LocalStore`` does, or one that obstore cannot read.
    """
    if cursor is not None and not (isinstance(cursor, str) and cursor.startswith(prefix)):
        raise CursorError(
            f"sources.objects: the cursor must be a key that begins with {prefix!r}, or None, not"
            f" {cursor!r}; pass on the cursor that the source yielded"
        )
    found = (info for page in _pages(store, prefix, cursor) for info in page)
    return ((info, info.key) for info in found)


def _pages(store: Any, prefix: str, cursor: str | None) -> Iterator[list[ObjectInfo]]:
    last = cursor or ""
    for page in _listing(store, prefix, last):
        keys = [info.key for info in page]
        if keys != sorted(set(keys)) or keys[0] <= last:
            page = list(_in_order(page, last, store))
        kept = [info for info in page if info.key.startswith(prefix)]
        if kept:
            yield kept
        if page:
            last = page[-1].key
        if last > prefix and not last.startswith(prefix):
            return


def _listing(store: Any, prefix: str, last: str) -> Iterator[list[ObjectInfo]]:
    if isinstance(store, str) and "://" in store:
        file_system, path = file_system_of(store)
        return _by_fsspec(file_system, path, prefix, last)
    if hasattr(store, "find") and hasattr(store, "info"):
        return _by_fsspec(store, "", prefix, last)
    if hasattr(store, "list_with_delimiter"):
        return _by_obstore(store, prefix, last)
    shown = repr(store) if isinstance(store, str) else f"a {type(store).__name__}"
    raise SourceError(
        f"sources.objects cannot list {shown}: give a store of obstore, a URL or a file system of"
        " fsspec; for local folders use sources.files"
    )


def _by_obstore(store: Any, prefix: str, last: str) -> Iterator[list[ObjectInfo]]:
    from obstore.exceptions import InvalidPathError

    # obstore's prefixes are whole folders. Keys that begin with the rest of ours are behind it
    # without its last character, which may be no key.
    folder, _, rest = prefix.rpartition("/")
    start = last or (folder if rest[:-1] in ("", ".", "..") else prefix[:-1])
    try:
        for page in store.list(folder or None, offset=start or None, chunk_size=_PAGE):
            yield [
                ObjectInfo(meta["path"], meta["size"], meta["last_modified"], meta["e_tag"])
                for meta in page
            ]
    except InvalidPathError as exc:
        raise SourceError(
            f"obstore cannot list {prefix!r}: {str(exc).splitlines()[0]}; rename such objects, list"
            " other prefixes, or list with fsspec"
        ) from exc


def _by_fsspec(file_system: Any, root: str, prefix: str, last: str) -> Iterator[list[ObjectInfo]]:
    base = root.rstrip("/") + "/" if root else ""
    folder = prefix.rpartition("/")[0]
    file_system.invalidate_cache()
    found = file_system.find(base + folder, detail=True)
    names = {path.removeprefix(base): info for path, info in found.items()}
    keys = iter(sorted(key for key in names if key > last and key.startswith(prefix)))
    while page := list(islice(keys, _PAGE)):
        yield [_info(key, names[key]) for key in page]


def _info(key: str, info: dict[str, Any]) -> ObjectInfo:
    modified = next(
        (info[n] for n in ("LastModified", "last_modified", "updated", "created") if n in info),
        None,
    )
    etag = next((info[name] for name in ("ETag", "etag", "e_tag") if info.get(name)), None)
    return ObjectInfo(key, info["size"], modified if isinstance(modified, datetime) else None, etag)


def _in_order(page: Iterable[ObjectInfo], last: str, store: Any) -> Iterator[ObjectInfo]:
    """Leave out the markers of folders: obstore lists ``a/`` as ``a``, and cannot read it.

    Raises:
        SourceError: other keys are not in their order.
    """
    for info in page:
        if info.key > last:
            last = info.key
            yield info
        elif info.size or (info.key + "/" <= last and info.key != last):
            raise SourceError(
                f"sources.objects: the {type(store).__name__} lists {info.key!r} behind {last!r},"
                " so its keys have no order to resume in; for local folders use sources.files"
            )
