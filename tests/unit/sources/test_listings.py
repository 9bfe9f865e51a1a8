from __future__ import annotations

from pathlib import Path
from typing import Any

import fsspec  # type: ignore[import-untyped]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from obstore.store import LocalStore, MemoryStore

from celery_graceful.errors import CursorError, SourceError
from celery_graceful.sources import objects
from celery_graceful.sources.reading import listings

PARTS = st.text(alphabet="ab-.é漢😀 %", min_size=1, max_size=3).filter(
    lambda part: part not in (".", "..")
)
KEYS = st.lists(PARTS, min_size=1, max_size=3).map("/".join)


def in_obstore(keys: set[str]) -> Any:
    store = MemoryStore()
    for key in keys:
        store.put(key, key.encode())
    return store


@settings(max_examples=50)
@given(st.sets(KEYS, max_size=8), st.data())
def test_every_cut_with_changes_in_between(keys: set[str], data: st.DataObject) -> None:
    store = in_obstore(keys)
    prefix = data.draw(st.sampled_from(["", *(key[:n] for key in keys for n in (1, 2, 4))]))
    expected = sorted(key for key in keys if key.startswith(prefix))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(listings, "_PAGE", 2)
        pairs = list(objects(store, prefix))
        assert [cursor for _, cursor in pairs] == expected
        assert [(info.key, info.size) for info, _ in pairs] == [
            (key, len(key.encode())) for key in expected
        ]
        for done, (_, cursor) in enumerate(pairs, 1):
            assert list(objects(store, prefix, cursor=cursor)) == pairs[done:]
        if pairs:
            done = data.draw(st.integers(1, len(pairs)))
            cursor = pairs[done - 1][1]
            store.delete(cursor)
            store.put(cursor + "+", b"")
            rest = [key for _, key in objects(store, prefix, cursor=cursor)]
            assert rest == sorted([*expected[done:], cursor + "+"])


def test_fsspec(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listings, "_PAGE", 2)
    file_system = fsspec.filesystem("memory")
    for name in ("logs/2026-01", "logs/2026-02", "logs/2027", "logs-old/x", "other"):
        with file_system.open(f"memory://listed/{name}", "wb") as file:
            file.write(b"1")
    pairs = list(objects("memory://listed", "logs/2026-"))
    assert [key for _, key in pairs] == ["logs/2026-01", "logs/2026-02"]
    assert [key for _, key in objects("memory://listed/")] == [
        "logs-old/x",
        "logs/2026-01",
        "logs/2026-02",
        "logs/2027",
        "other",
    ]
    assert list(objects("memory://listed", "logs/", cursor=pairs[1][1])) == list(
        objects("memory://listed", "logs/2027")
    )
    assert list(objects("memory://listed", "nothing/")) == []


def test_bad_input(tmp_path: Path) -> None:
    cursor: Any
    for cursor in (3, "other", ["logs/a"], ""):
        with pytest.raises(CursorError, match="a key that begins with 'logs/'"):
            objects(MemoryStore(), "logs/", cursor=cursor)
    with pytest.raises(SourceError, match="cannot list a int"):
        next(objects(3))
    with pytest.raises(SourceError, match=r"cannot list 'a/b': .* use sources\.files"):
        next(objects("a/b"))
    with pytest.raises(SourceError, match="cannot be read by fsspec"):
        next(objects("nothing://x"))


def test_a_store_without_order(tmp_path: Path) -> None:
    # Until its folder is listed in another order than that of names.
    for name in (str(n) for n in range(40)):
        (tmp_path / name).write_bytes(b"1")
    with pytest.raises(SourceError, match=r"LocalStore lists '\d+' behind .* use sources.files"):
        list(objects(LocalStore(tmp_path)))
