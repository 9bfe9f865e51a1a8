from __future__ import annotations

import gzip
import io
import os
import sys
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import fsspec  # type: ignore[import-untyped]
import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, InMemoryStorage
from obstore.store import LocalStore, MemoryStore

from celery_graceful.errors import SourceError
from celery_graceful.sources import csv_rows, lines, parquet
from celery_graceful.sources.reading.origins.choice import origin_of
from tests.unit.sources.test_compressed import rough, zstd
from tests.unit.sources.test_parquet import numbered

TEXT = b"one\ntwo\nthree\n"


@pytest.fixture(scope="module", autouse=True)
def django() -> None:
    from django.conf import settings

    if not settings.configured:
        settings.configure(USE_TZ=True)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


class FieldFile:
    """As the value of a FileField; a model needs an app registry."""

    def __init__(self, storage: Any, name: str | None) -> None:
        self.storage, self.name = storage, name

    def open(self, mode: str = "rb") -> Any:
        raise NotImplementedError


def in_zip(data: bytes) -> Any:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("rows", data)
    return lambda: zipfile.ZipFile(out).open("rows")


def in_memory(data: bytes) -> Any:
    return lambda: io.BytesIO(data)


def in_obstore(data: bytes) -> Any:
    store = MemoryStore()
    store.put("a/rows", data)
    return store, "a/rows"


def in_fsspec(data: bytes) -> str:
    with fsspec.open("memory://bucket/rows", "wb") as file:
        file.write(data)
    return "memory://bucket/rows"


def in_storage(data: bytes) -> Any:
    storage = InMemoryStorage()
    storage.save("a/rows", ContentFile(data))
    return storage, "a/rows"


ORIGINS: dict[str, Any] = {
    "zip": in_zip,
    "memory": in_memory,
    "obstore": in_obstore,
    "fsspec URL": in_fsspec,
    "fsspec open": lambda data: fsspec.open(in_fsspec(data)),
    "fsspec pair": lambda data: (fsspec.filesystem("memory"), in_fsspec(data)),
    "storage": in_storage,
    "field": lambda data: FieldFile(*in_storage(data)),
    "content file": lambda data: ContentFile(data, name="rows"),
}


@pytest.mark.parametrize("origin", ORIGINS)
def test_lines_from_everywhere_at_every_cut(origin: str) -> None:
    for data in (TEXT, gzip.compress(TEXT), zstd(TEXT, 5)):
        source = ORIGINS[origin](data)
        pairs = list(lines(source))
        assert [line for line, _ in pairs] == ["one", "two", "three"]
        for done, (_, cursor) in enumerate(pairs, 1):
            assert list(lines(source, cursor=cursor)) == pairs[done:]
        assert [row for row, _ in csv_rows(source)] == [{"one": "two"}, {"one": "three"}]


@pytest.mark.parametrize("origin", ["zip", "obstore", "fsspec URL", "storage"])
def test_parquet_from_everywhere(origin: str) -> None:
    source = ORIGINS[origin](numbered(2, 3000))
    pairs = list(parquet(source, columns=["n"]))
    assert [row["n"] for row, _ in pairs] == list(range(6000))
    assert list(parquet(source, cursor=pairs[4000][1], columns=["n"])) == pairs[4001:]


@pytest.mark.parametrize("origin", ORIGINS)
def test_changed_files(origin: str) -> None:
    if origin == "content file":
        pytest.skip("its content is what it is")
    _, cursor = next(lines(ORIGINS[origin](TEXT)))
    source = ORIGINS[origin](b"four\nfive\n")
    with pytest.raises(SourceError, match="changed since"):
        next(lines(source, cursor=cursor))


def test_local_files_by_other_names(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    path.write_bytes(TEXT)
    _, cursor = next(lines(path))
    storage = FileSystemStorage(tmp_path)
    for source in (
        str(path),
        FieldFile(storage, "rows"),
        (storage, "rows"),
        f"file://{path}",
        fsspec.open(str(path)),
        lambda: open(path, "rb"),  # noqa: SIM115 - the source closes it
    ):
        assert next(lines(source, cursor=cursor))[0] == "two"
    assert next(lines((LocalStore(tmp_path), "rows")))[0] == "one"


def test_a_storage_that_knows_no_times() -> None:
    class Timeless(InMemoryStorage):  # type: ignore[misc]
        def get_modified_time(self, name: str) -> Any:
            raise NotImplementedError

    storage = Timeless()
    storage.save("rows", ContentFile(TEXT))
    _, cursor = next(lines((storage, "rows")))
    assert next(lines((storage, "rows"), cursor=cursor))[0] == "two"
    storage.delete("rows")
    storage.save("rows", ContentFile(TEXT[::-1]))
    with pytest.raises(SourceError, match="changed since"):
        next(lines((storage, "rows"), cursor=cursor))


def test_files_that_are_not_there(tmp_path: Path) -> None:
    for source in (
        tmp_path / "rows",
        (MemoryStore(), "rows"),
        "memory://nowhere/rows",
        (InMemoryStorage(), "rows"),
        (FileSystemStorage(tmp_path), "rows"),
    ):
        with pytest.raises(FileNotFoundError, match="rows"):
            next(lines(source))
    with pytest.raises(SourceError, match="the field is empty"):
        next(lines(FieldFile(FileSystemStorage(tmp_path), None)))


def test_a_file_that_must_not_be_read(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    path.write_bytes(TEXT)
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("root may read anything")
    with pytest.raises(PermissionError, match="rows"):
        next(lines(path))


@pytest.mark.parametrize("pack", [bytes, partial(gzip.compress, compresslevel=1), zstd])
def test_an_object_that_is_replaced_while_it_is_read(pack: Any) -> None:
    store = MemoryStore()
    rows = pack(rough(2_000_000))
    store.put("rows", rows)
    source = lines((store, "rows"))
    next(source)
    store.put("rows", rows[::-1])
    with pytest.raises(SourceError, match=r"rows in MemoryStore was replaced .* after byte \d+"):
        list(source)


def test_what_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong: Any
    for wrong, message in (
        (3, "cannot read int 3: give a path"),
        (io.BytesIO(), "an open file cannot be opened again"),
        ((object(), "rows"), "cannot read 'rows' from a object"),
        (lambda: io.StringIO("text"), "not a seekable binary file"),
        (lambda: None, "not a seekable binary file"),
        ("nothing://rows", "cannot be read by fsspec"),
    ):
        with pytest.raises(SourceError, match=message):
            next(lines(wrong))
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(SourceError, match=r"pip install 'celery-graceful\[fsspec\]'"):
        next(lines("memory://user:secret@rows/x"))


def test_secrets_are_not_shown() -> None:
    with pytest.raises(SourceError) as caught:
        origin_of("nothing://user:hunter2@host/rows")
    assert "hunter2" not in str(caught.value)
